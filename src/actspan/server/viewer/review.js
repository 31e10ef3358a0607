// The review of proposals: the one that is shown, moves of its edges, and decisions, with undo.

/** @import { Decision, ReviewItem, ReviewState, Segment } from "./types.js" */
/** @import { Actions } from "./actions.js" */
/** @import { Decisions } from "./decisions.js" */
/** @import { Player } from "./player.js" */
/** @import { Store } from "./store.js" */

import { goTo } from "./address.js";
import * as api from "./api.js";
import { keepPast, recallPast } from "./decisions.js";
import { say } from "./messages.js";
import { keyOf, ReviewQueue } from "./review_queue.js";
import { dragged } from "./segments.js";
import { clock } from "./text.js";

const CONTEXT = 1; // seconds before and after the proposal that are played as well
const WIDEST = 3, LEAST = 8; // lengths of the proposal, seconds: what the timeline shows

/** @typedef {{ item: ReviewItem, segment: Segment, past: Segment[] }} Current */

/** Event: "change". */
export class Review extends EventTarget {
  isOn = false;
  isDone = false; // nothing is left to review
  /** @type {Current | null} */
  current = null;
  query = { run: 0, order: "rank", top: 20 };
  isOneVideo = false;
  fault = ""; // why the latest key had no effect
  #queue;
  /** @type {Decision[]} */
  #past;
  /** @type {Decision[]} */
  #future = [];

  /**
   * @param {Store} store
   * @param {Player} player
   * @param {Actions} actions
   * @param {Decisions} decisions
   */
  constructor(store, player, actions, decisions) {
    super();
    this.store = store;
    this.player = player;
    this.actions = actions;
    this.decisions = decisions;
    this.#past = recallPast(store.served);
    this.#queue = new ReviewQueue(this.query, decisions);
    decisions.addEventListener("refused", () => this.isOn && this.start());
  }

  // The reviewed proposal, if its video is shown.
  get shown() {
    const { current } = this;
    return this.isOn && current?.item.video === this.store.video?.id ? current : null;
  }

  get canUndo() {
    return this.isOn && Boolean(this.current?.past.length || this.#past.length);
  }

  get canRedo() {
    return this.isOn && this.#future.length > 0;
  }

  // Start, or start again with another choice.
  async start() {
    if ((this.store.video && !this.store.editor) || !this.store.served.length) return;
    const id = this.isOneVideo ? this.store.video?.id : undefined;
    this.#queue = new ReviewQueue(id === undefined ? this.query : { ...this.query, id }, this.decisions);
    Object.assign(this, { isOn: true, isDone: false });
    await this.#advance();
  }

  get counts() {
    return this.#queue.counts;
  }

  leave() {
    if (!this.isOn) return;
    Object.assign(this, { isOn: false, current: null });
    this.player.pause();
    this.player.leaveRange();
    this.#changed();
  }

  // A video was opened: show the proposal in it, or end the review if it is another one.
  opened() {
    if (!this.isOn || !this.current) return;
    if (this.shown) this.#present(this.current);
    else this.leave();
  }

  /** @param {string} fault */
  refuse(fault) {
    this.fault = fault;
    this.dispatchEvent(new Event("change"));
  }

  #changed() {
    this.fault = "";
    this.store.emit("review");
    this.dispatchEvent(new Event("change"));
  }

  // Show the next proposal.
  async #advance() {
    const queue = this.#queue;
    this.current = null;
    if (queue.isEmpty) this.#changed();
    try {
      const next = await queue.next();
      if (!this.isOn || queue !== this.#queue) return;
      if (this.current) { // by undo meanwhile
        if (next) queue.putBack(next);
        return;
      }
      say("review-queue", "");
      if (next) {
        this.#show(next);
        await queue.refill(next);
      } else this.#finish();
    } catch (error) {
      say("review-queue", `The proposals to review cannot be loaded: ${api.messageOf(error)}`,
        { name: "Try again", act: () => this.start() });
    }
  }

  #finish() {
    if (!this.store.video) say("review", "Everything is reviewed.");
    this.isDone = true;
    this.player.pause();
    this.player.leaveRange();
    this.#changed();
  }

  /**
   * @param {ReviewItem} item
   * @param {Segment} [segment] as it was changed
   */
  #show(item, { start, end, label } = item) {
    this.current = { item, segment: { start, end, label }, past: [] };
    this.isDone = false;
    if (this.shown) this.#present(this.current);
    else goTo({ id: item.video }); // opened() is called
    this.#changed();
  }

  // Play the proposal again and again, with some context.
  /** @param {Current} current */
  #present({ item, segment }) {
    const { store } = this, run = store.runs[this.query.run], proposal = run?.all[item.rank];
    if (proposal?.start === item.start) store.choose(run, proposal);
    const half = Math.max((segment.end - segment.start) * WIDEST, LEAST) / 2;
    const middle = (segment.start + segment.end) / 2;
    store.view.show(middle - half, middle + half);
    const span = this.#limit(segment);
    this.player.seek(span.start);
    this.player.play();
    this.#changed();
  }

  /** @param {Segment} segment */
  #limit({ start, end }) {
    const span = { start: this.store.inside(start - CONTEXT), end: this.store.inside(end + CONTEXT) };
    this.player.limit(span, true);
    return span;
  }

  /**
   * @param {ReviewState} state
   * @param {string} [label]
   */
  decide(state, label) {
    const { shown } = this;
    if (!shown) return;
    const { item, segment } = shown;
    const isMoved = segment.start !== item.start || segment.end !== item.end;
    const added = state === "accepted" ? { ...segment, label: label ?? segment.label } : null;
    this.#future = [];
    this.#apply({
      run: this.query.run, runName: this.store.served[this.query.run].name, item,
      state: added && isMoved ? "edited" : state, segment: added,
    });
    this.#advance();
  }

  /** @param {Decision} decision */
  #apply(decision) {
    const { item, state } = decision;
    this.#past.push(decision);
    this.#queue.decided(item, item.state, state);
    this.decisions.add(decision);
    keepPast(this.#past);
  }

  // Put the proposal off.
  later() {
    if (!this.current) return;
    this.#queue.putOff(this.current.item);
    this.#advance();
  }

  // Undo the latest move of an edge of this proposal, or the latest decision.
  undo() {
    const { current } = this, moved = current?.past.pop();
    if (!this.isOn) return;
    if (current && moved) {
      this.#place(current, moved);
      return;
    }
    const last = this.#past.pop();
    if (!last) return;
    this.#future.push(last);
    this.#queue.decided(last.item, last.state, last.item.state);
    this.decisions.add({ ...last, state: last.item.state, segment: last.item.segment });
    keepPast(this.#past);
    if (current) this.#queue.putBack(current.item);
    this.#show(last.item, last.segment ?? last.item);
  }

  // Decide again as before the latest undo.
  redo() {
    const last = this.isOn ? this.#future.pop() : undefined;
    if (!last) return;
    this.#apply(last);
    if (this.current && keyOf(this.current.item) === keyOf(last.item)) this.#advance();
    else this.#changed();
  }

  /**
   * Move an edge by some frames, and show its frame.
   * @param {"start" | "end"} edge
   * @param {number} frames
   */
  step(edge, frames) {
    const { shown } = this;
    if (!shown) return;
    const moved = dragged(shown.segment, edge, frames * this.actions.frame, this.store.seconds, this.actions.frame);
    this.player.pause();
    this.move(moved);
    this.player.seek(moved[edge]);
  }

  /**
   * Move an edge to the position.
   * @param {"start" | "end"} edge
   */
  setEdge(edge) {
    const { shown } = this, { time } = this.player;
    if (!shown) return;
    const { start, end } = shown.segment;
    if (edge === "start" && time >= end) this.refuse(`The start must be before the end, ${clock(end, 2)}.`);
    else if (edge === "end" && time <= start) this.refuse(`The end must be after the start, ${clock(start, 2)}.`);
    else this.move({ ...shown.segment, [edge]: time });
  }

  /** @param {Segment} segment with moved edges */
  move(segment) {
    const { shown } = this;
    if (!shown) return;
    shown.past.push(shown.segment);
    this.#place(shown, segment);
  }

  /** @param {Segment} segment during a drag */
  preview(segment) {
    if (this.shown) this.shown.segment = segment;
    this.#changed();
  }

  /**
   * @param {Current} current
   * @param {Segment} segment
   */
  #place(current, segment) {
    Object.assign(current, { segment });
    this.#limit(segment);
    this.#changed();
  }
}
