// Corrections of one video: every change can be undone, and is saved at once.

/** @import { Corrected, Segment } from "./types.js" */

import * as api from "./api.js";

/**
 * A segment as it is during a drag; index -1 is a new one. `others` move with it, `to` is what it snaps to.
 * @typedef {{ index: number, segment: Segment, others?: Map<number, Segment>, to?: string }} Draft
 */

const FIRST = 1000, LONGEST = 30_000; // milliseconds between two attempts to save

/**
 * @template {Segment[] | null} T
 * @param {T} segments
 * @returns {T}
 */
const copy = (segments) => /** @type {T} */ (segments && segments.map((s) => ({ ...s })));

/** Events: "change", and "saved" when the service has stored the newest state. */
export class Editor extends EventTarget {
  /** @type {Segment[] | null} null: this video has no corrections */
  segments = null;
  selected = -1;
  /** @type {Set<number>} more segments that are selected */
  #also = new Set();
  /** @type {Draft | null} during a drag */
  draft = null;
  /** @type {"" | "saving" | "saved" | "failed"} */
  state = "";
  message = ""; // why saving failed
  hasNoAnswer = false; // it failed because the service does not answer
  #revision = 0;
  /** @type {(Segment[] | null)[]} */
  #past = [];
  /** @type {(Segment[] | null)[]} */
  #future = [];
  #saving = false;
  #dirty = false;
  #timer = 0;
  #wait = FIRST;

  /**
   * @param {string} id
   * @param {Corrected} kept
   */
  constructor(id, kept) {
    super();
    this.id = id;
    this.#take(kept);
  }

  /** @param {Corrected} kept */
  #take({ revision, segments }) {
    Object.assign(this, { segments: copy(segments), selected: -1, state: "", message: "", draft: null });
    this.#also.clear();
    this.#revision = revision;
    this.#past = [];
    this.#future = [];
    this.#dirty = false;
  }

  /**
   * Load the state of the service; undo stays possible if nothing changed there.
   * @param {Corrected} kept
   */
  refresh(kept) {
    if (!this.isUnsaved && kept.revision !== this.#revision) this.#take(kept);
  }

  get isUnsaved() {
    return this.#dirty || this.#saving;
  }

  // Wait until the newest state is stored.
  async settled() {
    while (this.isUnsaved) await new Promise((done) => { this.addEventListener("change", done, { once: true }); });
  }

  get canUndo() {
    return this.#past.length > 0;
  }

  get canRedo() {
    return this.#future.length > 0;
  }

  // The segments with the one that is being dragged or drawn as it is now.
  get shown() {
    const segments = this.segments ?? [];
    if (!this.draft) return segments;
    const { index, segment, others } = this.draft;
    if (index < 0) return [...segments, segment];
    return segments.map((one, i) => (i === index ? segment : others?.get(i) ?? one));
  }

  // The indices of all selected segments, the first selected one first.
  get chosen() {
    return this.selected < 0 ? [] : [this.selected, ...this.#also];
  }

  /** @param {number} index */
  select(index) {
    if (this.selected === index && !this.#also.size) return;
    this.#also.clear();
    this.selected = index;
    this.#announce();
  }

  /**
   * Add a segment to the selection, or remove it.
   * @param {number} index
   */
  toggle(index) {
    const chosen = new Set(this.chosen);
    if (!chosen.delete(index)) chosen.add(index);
    this.#choose([...chosen]);
    this.#announce();
  }

  // Select all segments; return false if there are none.
  selectAll() {
    this.#choose((this.segments ?? []).map((_, index) => index));
    this.#announce();
    return this.selected >= 0;
  }

  /** @param {number[]} indices */
  #choose([first = -1, ...others]) {
    this.selected = first;
    this.#also = new Set(others);
  }

  /**
   * Show a segment as it is during a drag, without changing the corrections; null ends it.
   * @param {Draft | null} draft
   */
  preview(draft) {
    this.draft = draft;
    this.#announce();
  }

  /**
   * Add a segment, and select it.
   * @param {number} start
   * @param {number} end
   * @param {string} [label]
   */
  add(start, end, label = "") {
    const made = { start, end, label };
    this.change([...copy(this.segments ?? []), made], [made]);
  }

  /** @param {Segment[]} segments */
  replaceAll(segments) {
    this.change(segments.map(({ start, end, label }) => ({ start, end, label: label ?? "" })), []);
  }

  /**
   * Change a segment, and select it; return false if it would not end after its start.
   * @param {number} index
   * @param {Partial<Segment>} changes
   */
  edit(index, changes) {
    const next = copy(this.segments ?? []), segment = next[index];
    const before = { ...segment };
    Object.assign(segment, changes);
    if (!(segment.end > segment.start)) return false;
    const { start, end, label } = segment;
    if (start !== before.start || end !== before.end || label !== before.label) this.change(next, [segment]);
    return true;
  }

  /**
   * Keep what a drag moved; the same segments stay selected.
   * @param {Draft} draft
   */
  move({ index, segment, others = new Map() }) {
    const next = copy(this.segments ?? []);
    const moved = new Map([[index, segment], ...others]);
    for (const [i, one] of moved) next[i] = one;
    if (segment.start !== this.segments?.[index].start || segment.end !== this.segments[index].end) {
      this.change(next, [...moved.values()]);
    }
  }

  /** @param {number} index */
  remove(index) {
    if (this.segments?.[index]) this.change(this.segments.toSpliced(index, 1), []);
  }

  // Remove the corrections of this video.
  discard() {
    if (this.segments !== null) this.change(null, []);
  }

  undo() {
    this.#travel(this.#past, this.#future);
  }

  redo() {
    this.#travel(this.#future, this.#past);
  }

  /**
   * @param {(Segment[] | null)[]} from
   * @param {(Segment[] | null)[]} to
   */
  #travel(from, to) {
    const segments = from.pop();
    if (segments === undefined) return;
    to.push(this.segments);
    this.segments = segments;
    this.#choose([]);
    this.#changed();
  }

  /**
   * Replace the corrections, as one change that can be undone.
   * @param {Segment[] | null} segments null removes them
   * @param {Segment[]} chosen those of them that are then selected
   */
  change(segments, chosen) {
    this.#past.push(this.segments);
    this.#future = [];
    this.draft = null;
    this.segments = segments && segments.toSorted((a, b) => a.start - b.start || a.end - b.end);
    this.#choose(chosen.map((segment) => this.segments?.indexOf(segment) ?? -1));
    this.#changed();
  }

  #changed() {
    this.#dirty = true;
    this.#announce();
    this.save();
  }

  // Save the newest state, with one request at a time; try again if that may help.
  async save() {
    if (this.#saving || !this.#dirty) return;
    clearTimeout(this.#timer);
    this.#saving = true;
    this.#report("saving");
    try {
      while (this.#dirty) {
        this.#dirty = false;
        const { revision } = await api.saveCorrections(this.id, this.#revision, this.segments);
        this.#revision = revision;
      }
      this.#saving = false;
      this.#wait = FIRST;
      this.#report("saved");
      this.dispatchEvent(new Event("saved"));
    } catch (error) {
      this.#saving = false;
      this.#dirty = true;
      await this.#failed(error);
    }
  }

  /** @param {unknown} error */
  async #failed(error) {
    if (error instanceof api.Refused && error.status === 409) {
      try {
        this.#take(await api.readCorrections(this.id));
        this.hasNoAnswer = false;
        this.#report("failed", "Someone else changed these corrections; the newest ones are shown.");
        return;
      } catch {
        // The first reason is reported; the next change saves again.
      }
    }
    if (!(error instanceof api.Refused) || error.isTemporary) {
      this.#timer = setTimeout(() => this.save(), this.#wait);
      this.#wait = Math.min(this.#wait * 2, LONGEST);
    }
    this.hasNoAnswer = error instanceof api.Refused && error.status === 0;
    this.#report("failed", `The corrections of ${this.id} are not saved: ${api.messageOf(error)}`);
  }

  /**
   * @param {"saving" | "saved" | "failed"} state
   * @param {string} [message]
   */
  #report(state, message = "") {
    this.state = state;
    this.message = message;
    this.#announce();
  }

  #announce() {
    this.dispatchEvent(new Event("change"));
  }
}
