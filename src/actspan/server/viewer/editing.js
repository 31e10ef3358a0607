// Changes of the selected segments: label, split, merge, move, copy, paste, delete.

/** @import { Segment } from "./types.js" */
/** @import { Player } from "./player.js" */
/** @import { Store } from "./store.js" */

import { say } from "./messages.js";
import { clip, hull, SHORTEST } from "./segments.js";
import { plural } from "./text.js";

export class Editing {
  /** @type {Segment[]} copied segments, also of another video */
  #copied = [];

  /**
   * @param {Store} store
   * @param {Player} player
   */
  constructor(store, player) {
    this.store = store;
    this.player = player;
    store.on("video", () => say("paste", ""));
  }

  // The selected segments, or none.
  get #chosen() {
    const { editor } = this.store, segments = editor?.segments ?? [];
    return (editor?.chosen ?? []).map((index) => segments[index]);
  }

  get hasCopied() {
    return this.#copied.length > 0;
  }

  selectAll() {
    return this.store.editor?.selectAll() ?? false;
  }

  // Select nothing; return whether something was selected.
  deselect() {
    const isAny = this.#chosen.length > 0;
    if (isAny) this.store.select(-1);
    return isAny;
  }

  /**
   * Select the next segment (1) or the previous one (-1), from the position if none is selected.
   * @param {1 | -1} direction
   */
  neighbour(direction) {
    const { editor } = this.store, segments = editor?.segments ?? [], { time } = this.player;
    if (!editor || !segments.length) return false;
    const before = segments.filter(({ start }) => start < time).length; // they are sorted by start
    const next = direction > 0 ? before : before - 1;
    const index = editor.selected < 0 ? next : editor.selected + direction;
    const chosen = clip(index, 0, segments.length - 1);
    this.store.select(chosen);
    this.player.goTo(segments[chosen].start);
    this.store.view.reveal(segments[chosen].start, segments[chosen].end);
    return true;
  }

  /**
   * Move the selected segments by some seconds, inside the video.
   * @param {number} seconds
   */
  move(seconds) {
    const chosen = this.#chosen;
    if (!chosen.length) return false;
    const { start, end } = hull(chosen), by = clip(seconds, -start, Math.max(this.store.seconds - end, 0));
    return this.#replace(chosen, chosen.map((s) => ({ ...s, start: s.start + by, end: s.end + by })));
  }

  /** @param {string | undefined} label */
  label(label) {
    const chosen = this.#chosen;
    if (!chosen.length || label === undefined) return false;
    return this.#replace(chosen, chosen.map((segment) => ({ ...segment, label })));
  }

  remove() {
    return this.#replace(this.#chosen, []);
  }

  // Split the selected segments at the position, or without a selection all that contain it.
  split() {
    const chosen = this.#chosen, time = this.store.media.snap(this.player.time);
    const hit = (chosen.length ? chosen : this.store.editor?.segments ?? [])
      .filter(({ start, end }) => time >= start + SHORTEST && time <= end - SHORTEST);
    return this.#replace(hit, hit.flatMap((segment) => [{ ...segment, end: time }, { ...segment, start: time }]));
  }

  // Merge the selected segments, or a single one with the next of the same label, if there is one.
  merge() {
    const { editor } = this.store, chosen = this.#chosen;
    if (chosen.length === 1) {
      const later = (editor?.segments ?? []).slice((editor?.selected ?? 0) + 1);
      const next = later.find(({ label }) => label === chosen[0].label) ?? later[0];
      if (next) chosen.push(next);
    }
    if (chosen.length < 2) return false;
    return this.#replace(chosen, [{ ...chosen[0], ...hull(chosen) }]);
  }

  copy() {
    const chosen = this.#chosen;
    if (!chosen.length || getSelection()?.toString()) return false; // copies the text
    this.#copied = chosen.map((segment) => ({ ...segment }));
    return true;
  }

  // Paste with the first start at the position; say how many do not fit into the video.
  paste() {
    const { editor, seconds, media } = this.store;
    if (!editor || !this.hasCopied) return false;
    const by = media.snap(this.player.time) - hull(this.#copied).start;
    const moved = this.#copied.map(({ start, end, label }) => ({ start: start + by, end: end + by, label }));
    const fitting = moved.filter(({ end }) => end <= seconds + 1e-6), others = moved.length - fitting.length;
    say("paste", others ? `${plural(others, "segment")} would end after the video and were not pasted.` : "");
    return this.#replace([], fitting);
  }

  /**
   * Replace some segments by others, which are then selected, as one change.
   * @param {Segment[]} old
   * @param {Segment[]} made
   */
  #replace(old, made) {
    const { editor } = this.store;
    if (!editor || !(old.length || made.length)) return false;
    editor.change([...(editor.segments ?? []).filter((segment) => !old.includes(segment)), ...made], made);
    return true;
  }
}
