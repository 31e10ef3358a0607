// Actions of the user on the shown video, by keys, buttons and tables.

/** @import { Proposal, Span } from "./types.js" */
/** @import { Player } from "./player.js" */
/** @import { Run } from "./run.js" */
/** @import { Store } from "./store.js" */

import { distinct } from "./segments.js";

export class Actions {
  /**
   * @param {Store} store
   * @param {Player} player
   */
  constructor(store, player) {
    this.store = store;
    this.player = player;
  }

  /** @param {number} seconds */
  step(seconds) {
    this.player.goTo(this.player.time + seconds);
    this.store.view.reveal(this.player.time);
  }

  /**
   * Go some frames on, or cells of the curves if the frames are not known.
   * @param {number} count
   */
  stepFrames(count) {
    const { frames } = this.store.media, { time } = this.player;
    this.step(frames ? frames.time(frames.at(time) + count) - time : count * this.cell);
  }

  // Seconds of one frame, or of one cell of the curves if the frames are not known.
  get frame() {
    const { frames } = this.store.media;
    return frames ? 1 / frames.rate : this.cell;
  }

  // Seconds of one cell of the curves, or of a frame at 25 per second.
  get cell() {
    const curves = this.store.runs.find((run) => run.curves)?.curves;
    return curves ? curves.span / curves.cells : 0.04;
  }

  /** @param {number} factor */
  zoom(factor) {
    this.store.view.zoom(factor, this.player.time);
  }

  zoomAll() {
    const { view } = this.store;
    view.show(0, view.seconds);
  }

  /**
   * @param {Run} run
   * @param {Proposal} proposal
   */
  playProposal(run, proposal) {
    this.store.choose(run, proposal);
    this.player.playOnly(proposal);
  }

  /**
   * Select the next proposal (1) or the previous one (-1), by rank or by start.
   * @param {1 | -1} direction
   * @param {"rank" | "start"} order
   */
  neighbour(direction, order) {
    const { store } = this, { chosen } = store;
    const all = store.ranking;
    if (order === "start") all.sort((a, b) => a.proposal.start - b.proposal.start);
    if (!all.length) return;
    const now = all.findIndex(({ run, proposal }) =>
      run === chosen?.run && proposal.rank === chosen.proposal.rank);
    const first = order === "rank" ? this.#ends(direction, all.length) : this.#atPosition(direction, all);
    const index = now >= 0 ? now + direction : first;
    const { run, proposal } = all[(index + all.length) % all.length];
    store.choose(run, proposal);
    this.player.goTo(proposal.start);
  }

  /**
   * @param {1 | -1} direction
   * @param {number} count
   */
  #ends(direction, count) {
    return direction > 0 ? 0 : count - 1;
  }

  /**
   * @param {1 | -1} direction
   * @param {{ proposal: Proposal }[]} byStart
   */
  #atPosition(direction, byStart) {
    const after = byStart.findIndex(({ proposal }) => proposal.start > this.player.time);
    if (direction > 0) return Math.max(after, 0);
    return (after < 0 ? byStart.length : after) - 1;
  }

  // Play the selected segment or proposal alone.
  playChosen() {
    /** @type {Span | undefined} */
    const span = this.store.selected ?? this.store.chosen?.proposal;
    if (span) this.player.playOnly(span);
    return span !== undefined;
  }

  /** @param {Proposal} proposal */
  take({ start, end, label }) {
    this.store.editor?.add(start, end, label);
    this.store.emit("choice");
  }

  takeChosen() {
    const { chosen, editor } = this.store;
    if (!chosen || !editor) return false;
    this.take(chosen.proposal);
    return true;
  }

  // Replace the corrections by the visible proposals of all shown runs.
  takeVisible() {
    this.store.editor?.replaceAll(distinct(this.store.shownRuns.flatMap((run) => run.visible)));
  }

  takeTruth() {
    this.store.editor?.replaceAll(this.store.truth);
  }

  addHere() {
    const { store } = this, length = Math.max(store.view.length / 20, 0.5);
    const start = Math.min(store.media.snap(this.player.time), Math.max(store.seconds - 0.1, 0));
    store.editor?.add(start, Math.min(start + length, store.view.seconds));
  }
}
