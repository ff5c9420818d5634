// Masonry that keeps the order of rank in the document, and lets cards glide when ranks change.

const GAP_WIDE = 20;
const GAP_NARROW = 12;
const COLUMN_MIN = 208;
const COLUMNS_MAX = 8;
const STILL = matchMedia("(prefers-reduced-motion: reduce)");
const EASE = "cubic-bezier(.2, .7, .2, 1)";

export class Masonry {
  #wall;
  #cards = new Map();
  #places = new Map();
  #width = 0;
  #observer = new ResizeObserver((entries) => {
    const changed = entries.some(
      ({ target }) => target !== this.#wall || this.#width !== this.#wall.clientWidth,
    );
    if (changed) this.#layout({ glide: false });
  });

  constructor(wall) {
    this.#wall = wall;
    this.#observer.observe(wall);
  }

  /**
   * Show these items in this order.
   *
   * `make(item)` builds a card; `refresh(card, item)` updates one that stays. With `fresh`, every
   * card is new: it is another view, not another order of this one.
   */
  show(items, { make, refresh, fresh }) {
    const before = fresh ? new Map() : this.#cards;
    const after = new Map();
    for (const item of items) {
      const kept = before.get(item.id);
      if (kept) refresh(kept, item);
      after.set(item.id, kept ?? make(item));
    }
    for (const [id, card] of this.#cards) {
      if (after.get(id) !== card) this.#drop(card);
    }
    [...after.values()].forEach((card, rank) => {
      if (!card.isConnected) this.#observer.observe(card);
      // A card that already stands at its rank is not moved, so that it keeps the focus.
      const standing = this.#wall.children[rank];
      if (standing !== card) this.#wall.insertBefore(card, standing ?? null);
    });
    this.#cards = after;
    this.#layout({ glide: true });
  }

  #drop(card) {
    this.#observer.unobserve(card);
    this.#places.delete(card);
    card.remove();
  }

  /** Every card to the shortest column; all reading before all writing. */
  #layout({ glide }) {
    const width = this.#wall.clientWidth;
    if (width === 0) return;
    const gap = width < 600 ? GAP_NARROW : GAP_WIDE;
    const fitting = Math.floor((width + gap) / (COLUMN_MIN + gap));
    const columns = Math.min(COLUMNS_MAX, Math.max(2, fitting));
    const column = (width - gap * (columns - 1)) / columns;
    this.#wall.style.setProperty("--column", `${column}px`);
    const cards = [...this.#cards.values()];
    const heights = cards.map((card) => card.offsetHeight);
    const bottoms = new Array(columns).fill(0);
    cards.forEach((card, rank) => {
      const shortest = bottoms.indexOf(Math.min(...bottoms));
      const x = shortest * (column + gap);
      this.#place(card, `translate(${x}px, ${bottoms[shortest]}px)`, glide, rank);
      bottoms[shortest] += heights[rank] + gap;
    });
    this.#wall.style.height = `${Math.max(0, ...bottoms)}px`;
    this.#width = width;
  }

  #place(card, transform, glide, rank) {
    const earlier = this.#places.get(card);
    this.#places.set(card, transform);
    card.style.transform = transform;
    if (STILL.matches || !glide || earlier === transform) return;
    if (earlier) {
      card.animate([{ transform: earlier }, { transform }], { duration: 420, easing: EASE });
    } else {
      const delay = Math.min(rank, 16) * 14;
      const options = { duration: 320, delay, easing: EASE, fill: "backwards" };
      card.animate([{ opacity: 0 }, { opacity: 1 }], options);
    }
  }
}
