// Hits and misses: which instances a run finds at the chosen tIoU, and by which proposals.

/** @import { TrackHit, Matched, Proposal, Segment } from "./types.js" */
/** @import { Run } from "./run.js" */
/** @import { Store } from "./store.js" */

import { overlap } from "./segments.js";

const TOP = 100; // best proposals of a run that count, as in the evaluation

/**
 * Join each instance with the proposal of the largest tIoU; it is found if that reaches `tiou`.
 * It follows changed settings and corrections at once, so it is computed here.
 * @param {Segment[]} instances
 * @param {Proposal[]} proposals best first
 * @param {number} tiou
 * @returns {Matched[]}
 */
function match(instances, proposals, tiou) {
  return instances.map((instance, index) => {
    const overlaps = proposals.map((proposal) => overlap(instance, proposal));
    const largest = Math.max(0, ...overlaps);
    return {
      ...instance, index, tiou: largest, isFound: largest >= tiou,
      best: largest > 0 ? proposals[overlaps.indexOf(largest)] : null,
    };
  });
}

/** @typedef {{ run: Run, index: number }} Pointed */

export class Hits {
  tiou = 0.5;
  /** @type {Pointed | null} under the pointer */
  #hovered = null;
  /** @type {Pointed | null} chosen by key or in the table */
  #chosen = null;
  /** @type {WeakMap<Run, { from: unknown[], matched: Matched[] }>} */
  #known = new WeakMap();

  /** @param {Store} store */
  constructor(store) {
    this.store = store;
    store.on("video", () => this.#point(null, null));
  }

  // Return the instances that count: the corrections, or the ground truth if there are none.
  get instances() {
    return this.store.editor?.segments ?? this.store.truth;
  }

  /**
   * Return the instances of the video with what a run proposes for them.
   * @param {Run} run
   */
  of(run) {
    const from = [this.instances, run.all, this.tiou], before = this.#known.get(run);
    if (before && before.from.every((part, i) => part === from[i])) return before.matched;
    const matched = match(this.instances, run.all.slice(0, TOP), this.tiou);
    this.#known.set(run, { from, matched });
    return matched;
  }

  /** @param {number} tiou */
  setTiou(tiou) {
    this.tiou = tiou;
    this.store.emit("hits");
  }

  /** @param {TrackHit | null} hit what is under the pointer */
  hovered(hit) {
    const { track, index } = hit ?? {};
    const run = this.store.runs.find((one) => one === track?.run);
    const isHit = track?.kind === "hits" && run && index !== undefined;
    this.#point(isHit ? { run, index } : null, this.#chosen);
  }

  /**
   * @param {Pointed | null} hovered
   * @param {Pointed | null} chosen
   */
  #point(hovered, chosen) {
    this.#hovered = hovered;
    this.#chosen = chosen;
  }

  /**
   * Return the instance of a run that is joined to its best proposal, or undefined.
   * @param {Run} run
   */
  joined(run) {
    const pointed = this.#hovered ?? this.#chosen;
    return pointed?.run === run ? this.of(run)[pointed.index] : undefined;
  }

  /**
   * Choose an instance and its best proposal.
   * @param {Run} run
   * @param {Matched} matched
   */
  choose(run, { index, start, end, best }) {
    this.#chosen = { run, index };
    if (best) this.store.choose(run, best);
    this.store.view.reveal(Math.min(start, best?.start ?? start), Math.max(end, best?.end ?? end));
    this.store.emit("hits");
  }

  // Choose the next missed instance of the shown runs; return it, or undefined if there is none.
  chooseMissed() {
    const { shownRuns } = this.store, chosen = this.#chosen;
    const missed = shownRuns.flatMap((run) => this.of(run).filter((one) => !one.isFound).map((one) => ({ run, one })));
    const now = missed.findIndex(({ run, one }) => run === chosen?.run && one.index === chosen.index);
    const next = missed[(now + 1) % missed.length];
    if (next) this.choose(next.run, next.one);
    return next?.one;
  }
}
