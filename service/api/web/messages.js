// What stands above pins or in their place: turned away, nothing found, something went wrong.

import { Problem } from "./api.js";
import { humanise, markLanguage } from "./catalogue.js";
import { element, icon } from "./dom.js";
import { format } from "./route.js";
import { problemTitle } from "./words.js";

/** The children of the message that no pin fits a view, with the way out. */
export function nothingHere(view) {
  const where = view.category
    ? `No pin in ${humanise(view.category)} fits.`
    : "The index has nothing to show for this.";
  const everywhere = format({ ...view, category: null, less: [] });
  return [
    element("h2", {}, "Nothing here"),
    element("p", {}, where),
    element("p", {}, element("a", { class: "button", href: everywhere }, "Look everywhere")),
  ];
}

/** The children of the message that a question failed, with its trace and a way to ask again. */
export function failure(error, retry) {
  const problem = error instanceof Problem
    ? error
    : new Problem({ title: "The page failed", detail: String(error), code: "page" });
  const trace = [problem.status || null, problem.code, problem.requestId].filter(Boolean);
  const again = { type: "button", class: "button", onclick: retry };
  return [
    element("h1", {}, problemTitle(problem)),
    element("p", {}, problem.detail ?? ""),
    element("p", { class: "trace" }, trace.join(" · ")),
    element("p", {}, element("button", again, "Try again")),
  ];
}

/** The row of pins that the list is led away from, each with a button to forget that. */
export function lessChips(ids, titleFor, forget) {
  const chips = ids.map((id) => {
    const title = titleFor(id);
    const button = {
      type: "button",
      class: "round",
      "aria-label": `Forget: less like ${title}`,
      onclick: () => forget(id),
    };
    return element("li", { class: "less-chip" },
      "Less like ",
      markLanguage(element("em", {}, title), title),
      element("button", button, icon("close")),
    );
  });
  return element("ul", { class: "less-chips", "aria-label": "Less like these" }, chips);
}
