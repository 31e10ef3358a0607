// Comparing two runs on one axis: which proposals both have, and which only one has.

/** @import { Placed, Proposal, Shared } from "./types.js" */
/** @import { Run } from "./run.js" */
/** @import { Store } from "./store.js" */

import * as api from "./api.js";
import { say } from "./messages.js";
import { packLanes } from "./segments.js";

const MOST = 1000, LANES = 20; // proposals of a run that the service compares; lanes of a run in a group

/**
 * @typedef {object} Group proposals that both runs have, or that only one has, in lanes
 * @property {string} name
 * @property {Run | null} only
 * @property {number} lanes
 * @property {{ run: Run, p: Placed }[]} placed
 */
/**
 * @typedef {object} Pair
 * @property {Run} a
 * @property {Run} b
 * @property {Group[]} groups
 * @property {number} hidden visible proposals that have no lane
 */

/** Event: "change". */
export class Comparison extends EventTarget {
  #isOn = false;
  /** @type {{ key: string, id: string, a: Run, b: Run, shared: Shared } | null} */
  #known = null;
  #asking = new AbortController();
  #asked = "";
  /** @type {Pair | null} made from what is known, until that or the visible proposals change */
  #pair = null;
  /** @type {Proposal[][]} */
  #visible = [];

  /** @param {Store} store */
  constructor(store) {
    super();
    this.store = store;
    store.on(["video", "proposals", "runs"], () => this.#load());
  }

  // Return whether there are two runs to compare for the shown video.
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
    if (this.#visible[0] !== a.visible || this.#visible[1] !== b.visible || this.#pair?.a !== a) {
      this.#visible = [a.visible, b.visible];
      this.#pair = pairOf(a, b, shared);
    }
    return this.#pair;
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
      this.#pair = null;
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

/**
 * @param {Run} a
 * @param {Run} b
 * @param {Shared} shared
 * @returns {Pair}
 */
function pairOf(a, b, shared) {
  const isShared = (/** @type {Run} */ run, /** @type {Proposal} */ { rank }) =>
    typeof (run === a ? shared.a : shared.b)[rank - 1] === "number";
  const groups = [
    groupOf("both", null, [a, b], isShared),
    ...[a, b].map((run) => groupOf(`only ${run.letter}`, run, [run], (_, p) => !isShared(run, p))),
  ];
  const placed = groups.reduce((sum, group) => sum + group.placed.length, 0);
  return { a, b, groups, hidden: a.visible.length + b.visible.length - placed };
}

/**
 * Place the proposals of runs in lanes, those of B below those of A.
 * @param {string} name
 * @param {Run | null} only
 * @param {Run[]} runs
 * @param {(run: Run, proposal: Proposal) => boolean} keep
 * @returns {Group}
 */
function groupOf(name, only, runs, keep) {
  let below = 0;
  const placed = runs.flatMap((run) => {
    const packed = packLanes(run.visible.filter((p) => keep(run, p)), LANES), first = below;
    below += Math.min(packed.lanes, LANES);
    return packed.placed.map((p) => ({ run, p: { ...p, lane: first + p.lane } }));
  });
  return { name, only, lanes: below, placed };
}
