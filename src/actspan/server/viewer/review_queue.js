// The queue of a review: which proposals come next, and how many are decided.

/** @import { ReviewItem, ReviewQuery, ReviewState } from "./types.js" */
/** @import { Decisions } from "./decisions.js" */

import * as api from "./api.js";

const PAGE = 20, FEW = 4; // proposals that are requested together; more are requested when fewer wait
const LARGEST = 500; // page

/** @param {ReviewItem} item */
export const keyOf = ({ video, start, end }) => `${video} ${start} ${end}`;

export class ReviewQueue {
  counts = { open: 0, accepted: 0, rejected: 0, edited: 0 };
  /** @type {ReviewItem[]} */
  #items = [];
  /** @type {Set<string>} */
  #decided = new Set();
  /** @type {Set<string>} */
  #putOff = new Set();
  /** @type {Promise<void> | null} */
  #loading = null;
  #isFirst = true;
  #isComplete = false; // nothing else is open

  /**
   * @param {ReviewQuery} query
   * @param {Decisions} decisions
   */
  constructor(query, decisions) {
    this.query = query;
    this.decisions = decisions;
  }

  get isEmpty() {
    return !this.#items.length;
  }

  // Return the next proposal, or null if all are decided; those that were put off come last.
  async next() {
    if (!this.#items.length) await this.#load();
    if (!this.#items.length && this.#putOff.size) {
      this.#putOff.clear();
      await this.#load();
    }
    return this.#items.shift() ?? null;
  }

  /**
   * Request more if few wait.
   * @param {ReviewItem} current
   */
  async refill(current) {
    if (this.#items.length < FEW && !this.#isComplete) await this.#load(current);
  }

  /** @param {ReviewItem} [current] */
  #load(current) {
    this.#loading ??= this.#request(current).finally(() => { this.#loading = null; });
    return this.#loading;
  }

  /** @param {ReviewItem} [current] */
  async #request(current) {
    await this.decisions.settled();
    const known = this.#putOff.size + this.#items.length + (current ? 1 : 0), limit = Math.min(PAGE + known, LARGEST);
    const { counts, items, total } = await api.reviewQueue(this.query, limit);
    if (this.#isFirst) this.counts = counts;
    this.#isFirst = false;
    this.#isComplete = total <= limit;
    const waiting = new Set([...this.#items, ...(current ? [current] : [])].map(keyOf));
    this.#items.push(...items.filter((item) => {
      const key = keyOf(item);
      return !waiting.has(key) && !this.#decided.has(key) && !this.#putOff.has(key);
    }));
  }

  /**
   * Note a decision.
   * @param {ReviewItem} item
   * @param {ReviewState} from
   * @param {ReviewState} to
   */
  decided(item, from, to) {
    this.counts[from] -= 1;
    this.counts[to] += 1;
    if (to === "open") this.#decided.delete(keyOf(item));
    else this.#decided.add(keyOf(item));
    this.#items = this.#items.filter((one) => keyOf(one) !== keyOf(item));
  }

  /** @param {ReviewItem} item comes after all others */
  putOff(item) {
    this.#putOff.add(keyOf(item));
    this.#isComplete = false;
  }

  /** @param {ReviewItem} item comes next */
  putBack(item) {
    this.#items.unshift(item);
  }
}
