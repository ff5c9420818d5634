// The panel of filters: one field set for each attribute that the catalogue can be filtered by.

import { countOf, facetsOf, NOTHING } from "./conditions.js";
import { humanise, markLanguage, valueWords } from "./catalogue.js";
import { element, icon } from "./dom.js";

const SHOWN_FIRST = 12;
const WIDE_FROM = 7;

export class Filters {
  #parts;
  #facets;
  #onChange;
  #filters = {};
  #unfolded = new Set();

  /** `parts` = {button, panel, count, clear, fields}; `onChange(filters)` after every choice. */
  constructor(info, filterKey, parts, onChange) {
    this.#parts = parts;
    this.#facets = facetsOf(info, filterKey);
    this.#onChange = onChange;
    parts.button.hidden = this.#facets.length === 0;
    parts.button.addEventListener("click", () => this.#open(parts.panel.hidden));
    parts.clear.addEventListener("click", () => this.#onChange({}));
  }

  /** Show what a view has set. The panel itself opens only when it is asked for. */
  show(filters) {
    this.#filters = filters;
    const count = countOf(filters);
    this.#parts.count.textContent = count ? String(count) : "";
    this.#parts.button.classList.toggle("is-set", count > 0);
    this.#parts.clear.hidden = count === 0;
    const focused = document.activeElement?.closest?.("[data-field]")?.dataset.field;
    this.#parts.fields.replaceChildren(...this.#facets.map((facet) => this.#fieldset(facet)));
    if (focused) this.#parts.fields.querySelector(`[data-field="${CSS.escape(focused)}"]`)?.focus();
  }

  #open(isOpen) {
    this.#parts.panel.hidden = !isOpen;
    this.#parts.button.setAttribute("aria-expanded", String(isOpen));
  }

  #chosen(key) {
    return this.#filters[key] ?? NOTHING;
  }

  #set(key, change) {
    this.#onChange({ ...this.#filters, [key]: { ...this.#chosen(key), ...change } });
  }

  #fieldset(facet) {
    const make = { values: this.#values, word: this.#word, number: this.#number }[facet.kind];
    const legend = markLanguage(element("legend", {}, humanise(facet.key)), facet.key);
    const made = element("fieldset", { class: `facet of-${facet.kind}` }, legend);
    made.dataset.key = facet.key;
    made.classList.toggle("wide", facet.kind === "values" && facet.values.length >= WIDE_FROM);
    made.append(...make.call(this, facet).flat().filter(Boolean));
    return made;
  }

  /** One button a value: once for pins that have it, twice for pins without it, thrice for all. */
  #values({ key, values }) {
    const { any, not } = this.#chosen(key);
    const isChosen = (value) => any.includes(String(value)) || not.includes(String(value));
    const listed = values.map(([value, items], place) => {
      const made = this.#choice(key, value, items);
      if (place >= SHOWN_FIRST && !isChosen(value)) made.classList.add("further");
      return made;
    });
    const folded = listed.filter((each) => each.classList.contains("further")).length;
    const list = element("div", { class: "choices" }, listed);
    list.classList.toggle("open", this.#unfolded.has(key));
    list.append(element("button", {
      type: "button", class: "choice all", hidden: folded === 0 || this.#unfolded.has(key),
      onclick: (event) => {
        this.#unfolded.add(key);
        list.classList.add("open");
        event.target.hidden = true;
      },
    }, `${folded} more`));
    return [list];
  }

  #choice(key, typed, items) {
    const { any, not } = this.#chosen(key);
    const value = String(typed);
    const state = any.includes(value) ? "any" : not.includes(value) ? "not" : "";
    const without = (values) => values.filter((each) => each !== value);
    const next = {
      "": { any: [...any, value] },
      any: { any: without(any), not: [...not, value] },
      not: { not: without(not) },
    }[state];
    const said = { "": "", any: ", only with it", not: ", only without it" }[state];
    const shown = humanise(valueWords(key, typed));
    const made = element("button", {
      type: "button", class: "choice", "data-field": `${key} ${value}`,
      "aria-pressed": String(state !== ""), "aria-label": `${shown}${said}`,
      title: state === "any" ? "Press again to leave these out" : null,
      onclick: () => this.#set(key, next),
    }, state === "not" && icon("less"), markLanguage(element("span", {}, shown), shown),
    items !== undefined && element("span", { class: "items" }, items.toLocaleString("en")));
    if (state) made.dataset.state = state;
    return made;
  }

  /** A field to type a value into; those that are chosen stand before it. */
  #word({ key, values }) {
    const { any, not } = this.#chosen(key);
    const label = humanise(key);
    const suggestions = `values-of-${this.#facets.findIndex((facet) => facet.key === key)}`;
    const input = element("input", {
      type: "text", maxlength: 512, autocomplete: "off", list: suggestions,
      "data-field": `${key} word`, "aria-label": `${label}, a value to have`, placeholder: "exactly",
      onchange: (event) => {
        const value = event.target.value.trim();
        if (value && !any.includes(value)) this.#set(key, { any: [...any, value] });
      },
    });
    const options = values.map(([value, items]) =>
      element("option", { value: String(value), label: `${value} (${items})` }));
    const chosen = [...any, ...not].map((value) => this.#choice(key, value));
    return [
      chosen.length > 0 && element("div", { class: "choices open" }, chosen),
      input,
      element("datalist", { id: suggestions }, options),
    ];
  }

  #number({ key }) {
    const bounds = this.#chosen(key);
    const label = humanise(key);
    const bound = (name, said) => element("input", {
      type: "number", step: "any", inputmode: "decimal", placeholder: said,
      "data-field": `${key} ${name}`, "aria-label": `${label}, ${said}`,
      value: bounds[name] === null ? "" : String(bounds[name]),
      onchange: (event) => {
        const { value } = event.target;
        this.#set(key, { [name]: value === "" ? null : Number(value) });
      },
    });
    return [element("div", { class: "bounds" }, bound("min", "from"), element("span", {}, "to"), bound("max", "up to"))];
  }
}
