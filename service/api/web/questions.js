// From a view to the question that POST /recommend answers, and a memory of every pin seen.

import { rank, recommend } from "./api.js";
import { filterOf } from "./conditions.js";

/** The query of a view. `filterKey` is the attribute that categories filter by. */
export function queryOf(view, { info, filterKey }) {
  const { pin, board, less, category, diversity } = view;
  const like = view.view === "pin" ? [pin] : view.view === "board" ? board : [];
  const text = view.view === "pin" ? "" : view.q;
  const query = { explain: "words", diversity };
  if (like.length) query.like = like;
  if (text) query.text = text;
  // Without a seed there is nothing to lead away from: then the pin is only left out.
  if (less.length) query[like.length || text ? "dislike" : "exclude"] = less;
  const filter = filterOf(view.filters, info);
  if (category && filterKey) filter.must.unshift({ key: filterKey, match: { any: [category] } });
  const given = Object.entries(filter).filter(([, conditions]) => conditions.length);
  if (given.length) query.filter = Object.fromEntries(given);
  return query;
}

export class Pins {
  #seen = new Map();

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

  /** The pins of these ids, less those that the index does not know or does not show. */
  async find(ids, signal) {
    const unseen = ids.filter((id) => !this.#seen.has(id));
    if (unseen.length) {
      const answer = await rank({ ids: unseen }, signal);
      for (const item of answer.items) this.#seen.set(item.id, item);
    }
    return ids.map((id) => this.#seen.get(id)).filter(Boolean);
  }
}
