// Steps through the page's own history: each remembers how far its list went and was scrolled.

import { format, parse } from "./route.js";

const SCROLLING_MS = 150;

export class Places {
  #show;
  #scrolling = null;
  /** How many pages of the present list are wanted. */
  pages = 1;

  /** `show({scroll, focus})` draws the view that the address names. */
  constructor(show) {
    this.#show = show;
    history.scrollRestoration = "manual";
    this.pages = history.state?.pages ?? 1;
    // Before the browser follows a link inside the page, note where this view was.
    document.addEventListener("click", (event) => {
      if (event.target.closest?.('a[href^="#"]')) this.#remember();
    }, { capture: true });
    addEventListener("popstate", (event) => {
      clearTimeout(this.#scrolling);
      this.pages = event.state?.pages ?? 1;
      if (event.state === null) history.replaceState({ inside: true, pages: this.pages }, "");
      show({ scroll: event.state?.y ?? 0, focus: true });
    });
    addEventListener("scroll", () => {
      clearTimeout(this.#scrolling);
      this.#scrolling = setTimeout(() => this.#remember(), SCROLLING_MS);
    }, { passive: true });
  }

  /** Show the view of the address as it was left. */
  begin() {
    return this.#show({ scroll: history.state?.y ?? 0 });
  }

  /** Go to another view; with `replace` it takes the place of this one. */
  go(next, { replace = false, ...options } = {}) {
    const hash = format({ ...parse(""), ...next });
    if (replace) {
      history.replaceState({ ...history.state, pages: this.pages }, "", hash);
    } else {
      this.#remember();
      this.pages = 1;
      history.pushState({ inside: true, pages: 1 }, "", hash);
    }
    return this.#show(options);
  }

  /** Another order or choice of the same list, in its place and as far as it went. */
  change(next) {
    return this.go(next, { replace: true });
  }

  /** Ask for one more page. */
  more() {
    this.pages += 1;
    this.#remember();
    return this.#show({ isMore: true });
  }

  /** Leave a view for the one before it, or for the start where there is none. */
  back() {
    if (history.state?.inside) history.back();
    else this.go({}, { scroll: 0, focus: true });
  }

  #remember() {
    clearTimeout(this.#scrolling);
    history.replaceState({ ...history.state, y: scrollY, pages: this.pages }, "");
  }
}
