// What stands in place of pins: nothing found, or something went wrong.

import { Problem } from "./api.js";
import { humanise } from "./catalogue.js";
import { element } from "./dom.js";
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
