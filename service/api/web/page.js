// What stands on the page: every part of it, drawn from the view, the catalogue and a list.

import { BOARD_MAX } from "./board.js";
import { card, hueOfItem, sheet, swatch } from "./cards.js";
import { markLanguage, titleOf } from "./catalogue.js";
import { element } from "./dom.js";
import { Masonry } from "./masonry.js";
import { failure, keyWanted, lessChips, nothingHere } from "./messages.js";
import { explain, reasonOf } from "./reasons.js";
import { showStatus } from "./status.js";
import { countsOf, headingOf, notesOf } from "./words.js";

const $ = (id) => document.getElementById(id);

export class Page {
  #wall = new Masonry($("wall"));
  #catalogue = null;
  #actions;

  /** `actions` = {back, retry, forget, change, collect, forgetKey}: what can be done on the page. */
  constructor(actions) {
    this.#actions = actions;
  }

  /** Tell what is served: {info, filterKey, pins, board}. */
  stock(catalogue) {
    this.#catalogue = catalogue;
  }

  busy(isBusy) {
    $("wall").setAttribute("aria-busy", String(isBusy));
    if (isBusy) $("message").hidden = true;
  }

  /** What can be set, before the answer is there. */
  showControls(view, isEmpty) {
    const search = $("query");
    if (document.activeElement !== search) search.value = view.view === "pin" ? "" : view.q;
    search.placeholder = view.view === "board" ? "Steer this board with words" : "Search by meaning";
    $("diversity").value = String(view.diversity);
    this.showDiversity();
    $("dial").hidden = view.view === "home" || isEmpty;
  }

  showDiversity() {
    const slider = $("diversity");
    $("diversity-value").textContent = Number(slider.value).toFixed(2);
    slider.style.setProperty("--filled", `${Number(slider.value) * 100}%`);
  }

  /** A list, and the pins `leading` that the view is about; `isFresh` where it is another view. */
  show(view, pages, leading, isFresh) {
    this.#showLead(view, leading);
    this.#showHeading(view, pages);
    this.#showNotices(view, pages);
    this.#showWall(view, pages?.items ?? [], isFresh);
    $("more").hidden = !pages?.isOpen;
    if (pages && pages.items.length === 0) this.#showMessage(nothingHere(view));
    this.#showStatus(pages?.last ?? null);
    this.showBoard();
  }

  showProblem(error) {
    const isLocked = error.code === "key_required";
    $("heading").hidden = $("more").hidden = true;
    $("lead").replaceChildren();
    $("notices").replaceChildren();
    this.#wall.show([], { fresh: true });
    if (this.#catalogue) this.#showStatus(null);
    else $("status-line").textContent = isLocked ? "A key is wanted" : "No answer";
    const { retry } = this.#actions;
    this.#showMessage(isLocked ? keyWanted(retry) : failure(error, retry));
    $("announce").textContent = $("message").querySelector("h1").textContent;
  }

  showBoard() {
    const { board, pins, filterKey } = this.#catalogue;
    $("board-stack").replaceChildren(...board.ids.slice(-3).map((id) => {
      const leaf = element("span");
      if (pins.get(id)) leaf.style.setProperty("--h", String(hueOfItem(pins.get(id), filterKey)));
      return leaf;
    }));
    $("board-count").textContent = String(board.ids.length);
    $("board-link").setAttribute("aria-label", `Your board, ${board.ids.length} pins`);
    for (const button of document.querySelectorAll("button.collect")) {
      button.dispatchEvent(new Event("board"));
    }
  }

  /** Say aloud what became of a pin. */
  announceCollected(item, { wasOn, isDone }) {
    const done = wasOn ? "Taken off the board" : "Added to the board";
    $("announce").textContent = isDone
      ? `${done}: ${titleOf(item)}`
      : `The board is full: ${BOARD_MAX} pins.`;
  }

  #titleFor = (id) => {
    const { pins } = this.#catalogue;
    return pins.get(id) ? titleOf(pins.get(id)) : id;
  };

  #showLead(view, items) {
    const { board, filterKey } = this.#catalogue;
    const { back, forget } = this.#actions;
    const lead = [];
    if (items.length && view.view === "pin") {
      lead.push(sheet(items[0], { filterKey, board, onBack: back }));
    } else if (items.length && view.view === "board") {
      const swatches = items.map((item) =>
        swatch(item, { filterKey, onRemove: (id) => forget("board", id) }));
      lead.push(element("ul", { class: "swatches", "aria-label": "Pins on your board" }, swatches));
    }
    $("lead").replaceChildren(...lead);
  }

  #showHeading(view, pages) {
    const answer = pages?.first ?? null;
    const { title, subtitle, isUnder } = headingOf(view, this.#catalogue.info, answer);
    const made = element(isUnder ? "h2" : "h1", { id: "title" }, title);
    $("title").replaceWith(markLanguage(made, title));
    $("subtitle").textContent = subtitle;
    $("subtitle").hidden = !subtitle;
    $("counts").textContent = countsOf(pages);
    $("heading").hidden = false;
    const subject = isUnder ? this.#titleFor(view.pin) : title;
    document.title = view.view === "home" && !view.category ? "Magpie" : `${subject} · Magpie`;
    $("announce").textContent = pages ? `${pages.items.length} pins. ${subject}` : subject;
  }

  #showNotices(view, pages) {
    const forget = (id) => this.#actions.forget("less", id);
    $("notices").replaceChildren(
      ...notesOf(view, pages).map((note) => element("p", { class: "notice" }, note)),
      ...(view.less.length ? [lessChips(view.less, this.#titleFor, forget)] : []),
    );
  }

  #showWall(view, items, isFresh) {
    const { info, filterKey, pins, board } = this.#catalogue;
    const context = { info, filterKey, q: view.q, titleFor: this.#titleFor };
    const hueOf = (id) => (pins.get(id) ? hueOfItem(pins.get(id), filterKey) : 0);
    const refresh = (made, item) => explain(made, reasonOf(item, context), hueOf);
    const keep = { diversity: view.diversity, filters: view.filters };
    const onLess = view.view === "home" ? null : this.#actions.less;
    const make = (item) => {
      const made = card(item, { filterKey, board, keep, onLess });
      refresh(made, item);
      return made;
    };
    this.#wall.show(items, { make, refresh, fresh: isFresh });
  }

  #showStatus(answer) {
    const { info } = this.#catalogue;
    showStatus($("status-line"), $("status-list"), info, answer, this.#actions.forgetKey);
  }

  #showMessage(children) {
    $("message").replaceChildren(...children);
    $("message").hidden = false;
  }
}
