// Marking a segment while the video plays: I and O, or a key that is held.

/** @import { Actions } from "./actions.js" */
/** @import { Player } from "./player.js" */
/** @import { Store } from "./store.js" */

import { SHORTEST } from "./segments.js";

const HELD = 0.2; // seconds of the video while a key is held

export class Marking {
  /** @type {number | null} start of the segment that is being marked */
  #start = null;
  #isHeld = false;

  /**
   * @param {Store} store
   * @param {Player} player
   * @param {Actions} actions
   */
  constructor(store, player, actions) {
    this.store = store;
    this.player = player;
    this.actions = actions;
    store.on("video", () => { this.#start = null; });
    player.addEventListener("move", () => this.#moved());
    document.addEventListener("keyup", ({ key }) => key.toUpperCase() === "M" && this.#released());
    addEventListener("blur", () => this.#released());
  }

  get #time() {
    return this.store.media.snap(this.player.time);
  }

  // Move the start of the selected segment here; without one, or after its end, begin a segment.
  start() {
    const { editor, selected } = this.store;
    if (!editor) return false;
    if (selected && this.#time < selected.end) return editor.edit(editor.selected, { start: this.#time });
    this.store.select(-1);
    this.#start = this.#time;
    this.#moved();
    return true;
  }

  // End the segment that is being marked here, or move the end of the selected one.
  end() {
    const { editor, selected } = this.store;
    if (!editor) return false;
    if (this.#start !== null) return this.#finish();
    return selected ? editor.edit(editor.selected, { end: this.#time }) : false;
  }

  // Add a segment at the position; while the key is held, it lasts as long as that.
  /** @param {KeyboardEvent} event */
  hold({ repeat }) {
    if (!this.store.editor) return false;
    if (repeat || this.#isHeld) return true;
    this.#isHeld = true;
    this.store.select(-1);
    this.#start = this.#time;
    return true;
  }

  // Forget the segment that is being marked; return whether there was one.
  cancel() {
    if (this.#start === null) return false;
    this.#start = null;
    this.#isHeld = false;
    this.store.editor?.preview(null);
    return true;
  }

  #released() {
    if (!this.#isHeld) return;
    this.#isHeld = false;
    if (this.#start === null) return;
    if (Math.abs(this.#time - this.#start) >= HELD) this.#finish();
    else {
      this.cancel();
      this.actions.addHere();
    }
  }

  #finish() {
    const segment = this.#segment();
    this.cancel();
    if (segment.end - segment.start < SHORTEST) return false;
    this.store.editor?.add(segment.start, segment.end);
    return true;
  }

  #segment() {
    const now = this.#time, begin = this.#start ?? now;
    return { start: Math.min(begin, now), end: Math.max(begin, now), label: "" };
  }

  // Show the segment that is being marked.
  #moved() {
    const segment = this.#segment();
    if (this.#start === null || (this.#isHeld && segment.end - segment.start < HELD)) return;
    this.store.editor?.preview({ index: -1, segment });
  }
}
