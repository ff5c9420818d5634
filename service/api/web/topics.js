// The row of categories: links, so that each is a step in the history and opens in a new tab.

import { paint } from "./cards.js";
import { humanise, markLanguage } from "./catalogue.js";
import { element } from "./dom.js";
import { format } from "./route.js";

/** Build the row once. `values` are the categories; `parts` = {nav, row, more}. */
export function buildTopics(values, label, { nav, row, more }) {
  const named = values.filter((value) => value.trim() !== "").sort((a, b) => a.localeCompare(b));
  const link = (value, text) =>
    markLanguage(element("a", { class: "topic", "data-value": value }, text), text);
  row.replaceChildren(
    link("", "Everything"),
    ...named.map((value) => paint(link(value, humanise(value)), value)),
  );
  nav.hidden = named.length === 0;
  nav.setAttribute("aria-label", label);
  const folded = `All ${named.length}`;
  more.textContent = folded;
  more.addEventListener("click", () => {
    const isOpen = nav.classList.toggle("open");
    more.setAttribute("aria-expanded", String(isOpen));
    more.textContent = isOpen ? "Fewer" : folded;
  });
  new ResizeObserver(() => {
    const isOpen = nav.classList.contains("open");
    nav.classList.toggle("fits", !isOpen && row.scrollWidth <= row.clientWidth);
  }).observe(row);
}

/** Point every link at its category within the present view, and mark the chosen one. */
export function markTopics(row, view) {
  for (const link of row.children) {
    const value = link.dataset.value || null;
    link.href = format({ ...view, category: value });
    if (value === view.category) link.setAttribute("aria-current", "true");
    else link.removeAttribute("aria-current");
  }
}
