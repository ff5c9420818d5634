// The address after the # holds the whole view, so that reload, back and a sent link all work.

import { NOTHING } from "./conditions.js";

export const DEFAULT_DIVERSITY = 0.2;

// any.<key>, not.<key>, min.<key> and max.<key>: no other parameter has a dot.
const FILTER = /^(any|not|min|max)\.(.+)$/s;

/** Read a hash into {view, pin, board, less, q, category, diversity, filters}. */
export function parse(hash) {
  const parameters = new URLSearchParams(hash.replace(/^#/, ""));
  const pin = parameters.get("pin") || null;
  const board = parameters.getAll("board").filter(Boolean);
  const q = (parameters.get("q") ?? "").trim();
  const asked = Number.parseFloat(parameters.get("diversity"));
  return {
    view: pin ? "pin" : parameters.has("board") ? "board" : q ? "search" : "home",
    pin,
    board,
    q,
    less: parameters.getAll("less").filter(Boolean),
    category: parameters.get("category") || null,
    diversity: asked >= 0 && asked <= 1 ? asked : DEFAULT_DIVERSITY,
    filters: parseFilters(parameters),
  };
}

function parseFilters(parameters) {
  const filters = {};
  for (const [name, value] of parameters) {
    const [, what, key] = FILTER.exec(name) ?? [];
    if (!what || value === "") continue;
    const before = filters[key] ?? NOTHING;
    if (what === "any" || what === "not") {
      filters[key] = { ...before, [what]: [...before[what], value] };
    } else if (Number.isFinite(Number(value))) {
      filters[key] = { ...before, [what]: Number(value) };
    }
  }
  return filters;
}

/** The hash of a view; what is at its default is left out. */
export function format({ pin, view, board = [], less = [], q, category, diversity, filters = {} }) {
  const parameters = new URLSearchParams();
  if (pin) parameters.set("pin", pin);
  if (view === "board") {
    if (board.length === 0) parameters.set("board", "");
    for (const id of board) parameters.append("board", id);
  }
  if (q && !pin) parameters.set("q", q);
  if (category) parameters.set("category", category);
  for (const id of less) parameters.append("less", id);
  if (diversity !== undefined && diversity !== DEFAULT_DIVERSITY) {
    parameters.set("diversity", String(diversity));
  }
  for (const [key, { any, not, min, max }] of Object.entries(filters)) {
    for (const value of any) parameters.append(`any.${key}`, value);
    for (const value of not) parameters.append(`not.${key}`, value);
    if (min !== null) parameters.set(`min.${key}`, String(min));
    if (max !== null) parameters.set(`max.${key}`, String(max));
  }
  return `#${parameters}`;
}
