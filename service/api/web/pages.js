// A list that grows page by page: each goes on where the last one ended, by the service's cursor.

import { Problem } from "./api.js";

const PAGE = 40;
// The service is asked for as little as one page; this is how far a list can be followed.
const STEPS_MAX = 100;

export class Pages {
  #ask;
  #query;
  #cursor = null;

  /** `ask(query, signal)` answers a query, `query` is the question without its place. */
  constructor(query, ask) {
    this.#query = { ...query, k: PAGE };
    this.#ask = ask;
    this.#begin();
  }

  /** Whether there is more to come. */
  get isOpen() {
    return this.first === null || this.#cursor !== null;
  }

  /** Ask until `pages` of them are here, or the list is at its end. */
  async fill(pages, signal) {
    for (let step = 0; step < STEPS_MAX && this.count < pages && this.isOpen; step += 1) {
      await this.#next(signal);
    }
    return this;
  }

  async #next(signal) {
    const place = this.#cursor === null ? {} : { cursor: this.#cursor };
    try {
      const answer = await this.#ask({ ...this.#query, ...place }, signal);
      this.#take(answer);
    } catch (error) {
      if (!(error instanceof Problem) || error.code !== "cursor_expired") throw error;
      // A new version of the index is served: the list begins again in that one.
      this.#begin();
      this.isRenewed = true;
    }
  }

  #begin() {
    this.#cursor = null;
    this.count = 0;
    this.items = [];
    /** The first answer tells what the filter left out, the last one how long it took. */
    this.first = null;
    this.last = null;
    this.isRenewed = false;
  }

  #take(answer) {
    this.first ??= answer;
    this.last = answer;
    this.count += 1;
    this.items.push(...answer.items);
    this.#cursor = answer.cursor;
  }
}
