// From a view to the question that POST /recommend answers, and a memory of every pin seen.

import { recommend } from "./api.js";

const NEIGHBOURS = 8;
const NEIGHBOURS_OF_NEIGHBOURS = 200;

/** The query of a view. `wanted` is k, `filterKey` the attribute that categories filter by. */
export function queryOf({ view, pin, board, less, q, category, diversity }, { wanted, filterKey }) {
  const like = view === "pin" ? [pin] : view === "board" ? board : [];
  const text = view === "pin" ? "" : q;
  const query = { k: wanted, explain: true, diversity };
  if (like.length) query.like = like;
  if (text) query.text = text;
  // Without a seed there is nothing to lead away from: then the pin is only left out.
  if (less.length) query[like.length || text ? "dislike" : "exclude"] = less;
  if (category && filterKey) {
    query.filter = { must: [{ key: filterKey, match: { any: [category] } }] };
  }
  return query;
}

export class Pins {
  #seen = new Map();
  #kMax;

  constructor(kMax) {
    this.#kMax = kMax;
  }

  /** What is known of a pin, or undefined. */
  get(id) {
    return this.#seen.get(id);
  }

  /** Ask the service, and remember every pin in the answer. */
  async ask(query, signal) {
    const answer = await recommend(query, signal);
    for (const item of answer.items) this.#seen.set(item.id, item);
    return answer;
  }

  /**
   * A pin's own fields, null where the index does not know it.
   *
   * An answer never holds its own seeds, but a pin is among the neighbours of its neighbours, so
   * two questions find it. Where even that fails the pin is shown by its id.
   */
  async find(id, signal) {
    if (this.#seen.has(id)) return this.#seen.get(id);
    const near = await this.ask({ like: [id], k: NEIGHBOURS }, signal);
    if (near.missing.includes(id)) return null;
    const like = near.items.map((item) => item.id);
    if (like.length) {
      await this.ask({ like, k: Math.min(NEIGHBOURS_OF_NEIGHBOURS, this.#kMax) }, signal);
    }
    return this.#seen.get(id) ?? { id, fields: {} };
  }
}
