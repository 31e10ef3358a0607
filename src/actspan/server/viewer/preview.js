// The frame under the pointer, or at an edge while it moves, above the timeline.

/** @import { TrackHit } from "./types.js" */
/** @import { Player } from "./player.js" */
/** @import { Store } from "./store.js" */
/** @import { Timeline } from "./timeline.js" */

import * as api from "./api.js";
import { element, byId } from "./dom.js";
import { clip } from "./segments.js";
import { clock } from "./text.js";

const HEIGHT = 135; // pixels of the frame
const KEPT = 60; // frames
const KINDS = new Set(["ruler", "filmstrip", "waveform"]); // tracks whose pointer shows a frame

export class Preview {
  #room = byId("preview");
  #canvas = element("preview-frame", HTMLCanvasElement);
  #caption = byId("preview-caption");
  /** @type {Map<number, ImageBitmap>} by frame; the newest last */
  #known = new Map();
  #closing = new AbortController();
  #wanted = -1; // frame
  #loading = false;

  /**
   * @param {Store} store
   * @param {Player} player
   * @param {Timeline} timeline
   */
  constructor(store, player, timeline) {
    this.store = store;
    this.player = player;
    this.timeline = timeline;
    store.on("video", () => this.#restart());
    store.on("edit", () => this.#dragged());
  }

  /**
   * @param {TrackHit | null} hit
   * @param {{ x: number }} point
   */
  hovered(hit, { x }) {
    if (!hit || !KINDS.has(hit.track.kind) || x < this.timeline.left) this.hide();
    else this.#show(this.timeline.scrubber.seconds(x), x);
  }

  hide() {
    this.#wanted = -1;
    this.#room.hidden = true;
  }

  // During a drag the position is at the edge that moves.
  #dragged() {
    const { editor, view } = this.store, { left, right } = this.timeline;
    if (!editor?.draft) this.hide();
    else if (this.player.isPaused) {
      const { time } = this.player;
      this.#show(time, left + ((time - view.from) / view.length) * (right - left));
    }
  }

  #restart() {
    this.#closing.abort();
    this.#closing = new AbortController();
    this.#known.clear();
    this.#loading = false;
    this.hide();
  }

  /**
   * @param {number} seconds
   * @param {number} x of the timeline
   */
  #show(seconds, x) {
    const { frames } = this.store.media;
    if (!frames) return;
    this.#wanted = frames.at(seconds);
    this.#caption.textContent = `${clock(frames.time(this.#wanted))} · frame ${this.#wanted}`;
    const known = this.#known.get(this.#wanted);
    if (known) this.#draw(known);
    else this.#load();
    this.#room.hidden = false;
    const outer = this.timeline.room.getBoundingClientRect(), width = this.#room.offsetWidth;
    const left = clip(outer.left + x - width / 2, 4, innerWidth - width - 4);
    const top = Math.max(outer.top - this.#room.offsetHeight - 8, 4);
    this.#room.style.transform = `translate(${left}px, ${top}px)`;
  }

  // Load the frame that is wanted now; one request at a time, so that a fast pointer skips frames.
  async #load() {
    const { video, media: { frames } } = this.store, number = this.#wanted, { signal } = this.#closing;
    if (this.#loading || !video || !frames || number < 0) return;
    this.#loading = true;
    const time = frames.time(number) + 0.2 / frames.rate; // inside the frame
    const query = { id: video.id, time, height: HEIGHT, version: frames.version };
    try {
      this.#known.set(number, await api.frame(query, signal));
      const [oldest] = this.#known.keys();
      if (this.#known.size > KEPT) this.#known.delete(oldest);
    } catch {
      if (!signal.aborted) this.#loading = false; // the time and the number stay without the picture
      return;
    }
    this.#loading = false;
    const wanted = this.#known.get(this.#wanted);
    if (wanted) this.#draw(wanted);
    else this.#load();
  }

  /** @param {ImageBitmap} picture */
  #draw(picture) {
    this.#canvas.width = picture.width;
    this.#canvas.height = picture.height;
    this.#canvas.getContext("2d")?.drawImage(picture, 0, 0);
    this.#canvas.dataset.frame = String(this.#wanted);
  }
}
