// Comparing two runs on one axis: which proposals both have, and which only one has.

/** @import { Proposal, Shared } from "./types.js" */
/** @import { Run } from "./run.js" */
/** @import { Store } from "./store.js" */

import * as api from "./api.js";
import { say } from "./messages.js";

const MOST = 1000; // proposals of a run that the service compares

/**
 * @typedef {object} Pair
 * @property {Run} a
 * @property {Run} b
 * @property {(run: Run, proposal: Proposal) => boolean} isShared
 */

/** Event: "change". */
export class Comparison extends EventTarget {
  #isOn = false;
  /** @type {{ key: string, id: string, a: Run, b: Run, shared: Shared } | null} */
  #known = null;
  #asking = new AbortController();
  #asked = "";

  /** @param {Store} store */
  constructor(store) {
    super();
    this.store = store;
    store.on(["video", "proposals", "runs"], () => this.#load());
  }

  // Whether there are two runs to compare for the shown video.
  get isPossible() {
    const { video, runs, served, pair } = this.store;
    return video !== null && runs === served && pair.length === 2;
  }

  get isOn() {
    return this.#isOn;
  }

  set isOn(isOn) {
    if (isOn === this.#isOn) return;
    this.#isOn = isOn;
    this.#load();
    this.dispatchEvent(new Event("change"));
  }

  toggle() {
    if (!this.isPossible && !this.#isOn) return false;
    this.isOn = !this.#isOn;
    return true;
  }

  /**
   * Return the two runs, once it is known what they share.
   * @returns {Pair | null}
   */
  get pair() {
    const known = this.#known, { video, pair } = this.store;
    if (!this.#isOn || !this.isPossible || !known || known.id !== video?.id) return null;
    const { a, b, shared } = known; // of the settings before, until the new ones are known
    if (pair[0] !== a || pair[1] !== b) return null;
    return { a, b, isShared: (run, { rank }) => typeof (run === a ? shared.a : shared.b)[rank - 1] === "number" };
  }

  #query() {
    const { video, pair: [a, b], filter } = this.store;
    const suppression = [a, b].map((run) => run.variant).filter((variant) => variant !== null);
    return { id: video?.id ?? "", a: a.number, b: b.number, top: Math.min(filter.most, MOST), suppression };
  }

  #key() {
    return JSON.stringify(this.#query());
  }

  // Ask which proposals the runs share, if it is not known.
  async #load() {
    if (!this.#isOn || !this.isPossible) return;
    const key = this.#key(), [a, b] = this.store.pair;
    if (key === this.#known?.key || key === this.#asked) return;
    this.#asking.abort();
    this.#asking = new AbortController();
    this.#asked = key;
    try {
      const query = this.#query(), shared = await sharedOf(query, this.#asking.signal);
      this.#known = { key, id: query.id, a, b, shared };
      say("comparison", "");
      this.dispatchEvent(new Event("change"));
    } catch (error) {
      if (api.wasAborted(error)) return;
      this.#known = null;
      say("comparison", api.messageOf(error));
    } finally {
      if (this.#asked === key) this.#asked = "";
    }
  }
}

/**
 * Return what two runs share; without other settings of Soft-NMS if a run kept no candidates of
 * this video, to which they could be applied.
 * @param {{ id: string, a: number, b: number, top: number, suppression: string[] }} query
 * @param {AbortSignal} signal
 */
async function sharedOf(query, signal) {
  try {
    return await api.sharedProposals(query, signal);
  } catch (error) {
    if (!(error instanceof api.Refused) || error.status !== 409) throw error;
    return api.sharedProposals({ ...query, suppression: [] }, signal);
  }
}
