// The address after the # holds the whole view, so that reload, back and a sent link all work.

export const DEFAULT_DIVERSITY = 0.2;

/** Read a hash into {view, pin, board, less, q, category, diversity}. */
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
  };
}

/** The hash of a view; what is at its default is left out. */
export function format({ pin, view, board = [], less = [], q, category, diversity }) {
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
  return `#${parameters}`;
}
