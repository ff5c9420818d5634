// What stands above pins or in their place: turned away, nothing found, something went wrong.

import { heldKey, holdKey, Problem } from "./api.js";
import { humanise, markLanguage } from "./catalogue.js";
import { element, icon } from "./dom.js";
import { format } from "./route.js";
import { problemTitle } from "./words.js";

/** The children of the message that no pin fits a view, with the way out. */
export function nothingHere(view) {
  const where = view.category
    ? `No pin in ${humanise(view.category)} fits.`
    : "The index has nothing to show for this.";
  const everywhere = format({ ...view, category: null, less: [], filters: {} });
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

/** The children of the message that the service wants a key, with a form for it. */
export function keyWanted(enter) {
  const input = element("input", {
    type: "password", id: "key", class: "field", required: true, maxlength: 128,
    autocomplete: "off", spellcheck: "false", "aria-label": "API key", placeholder: "mgp_…",
  });
  const onsubmit = (event) => {
    event.preventDefault();
    holdKey(input.value.trim());
    enter();
  };
  return [
    element("h1", {}, heldKey() ? "This key is not valid" : "This service asks for a key"),
    element("p", {}, "A key of scope read is enough. It is kept until this tab is closed."),
    element("form", { class: "key-form", onsubmit },
      input, element("button", { class: "button" }, "Enter")),
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
