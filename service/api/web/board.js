// The small board a visitor collects, kept for this tab only.

export const BOARD_MAX = 10;

export class Board extends EventTarget {
  #key;
  #storage;
  #ids;

  constructor(catalogue, storage) {
    super();
    this.#key = `magpie.board.${catalogue}`;
    this.#storage = storage;
    this.#ids = this.#read();
  }

  get ids() {
    return [...this.#ids];
  }

  has(id) {
    return this.#ids.includes(id);
  }

  /** Put the pin on the board or take it off. Returns false when the board is full. */
  toggle(id) {
    if (this.has(id)) return this.replace(this.#ids.filter((each) => each !== id));
    if (this.#ids.length >= BOARD_MAX) return false;
    return this.replace([...this.#ids, id]);
  }

  replace(ids) {
    const next = [...new Set(ids)].slice(0, BOARD_MAX);
    if (next.join("\n") === this.#ids.join("\n")) return true;
    this.#ids = next;
    try {
      this.#storage?.setItem(this.#key, JSON.stringify(next));
    } catch {
      // Storage may be full or forbidden; the board then lives as long as the page.
    }
    this.dispatchEvent(new Event("change"));
    return true;
  }

  #read() {
    try {
      const stored = JSON.parse(this.#storage?.getItem(this.#key) ?? "[]");
      return Array.isArray(stored) ? stored.filter((id) => typeof id === "string") : [];
    } catch {
      return [];
    }
  }
}
