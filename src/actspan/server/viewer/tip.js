// The tip on the timeline: what is under the pointer, or the segment that is dragged.

/** @import { TrackHit, Segment } from "./types.js" */
/** @import { Store } from "./store.js" */
/** @import { Timeline } from "./timeline.js" */

import { byId } from "./dom.js";
import { clip } from "./segments.js";
import { clock, clocks, dotted, signed } from "./text.js";

export class Tip {
  #element = byId("tip");

  /**
   * @param {Store} store
   * @param {Timeline} timeline
   */
  constructor(store, timeline) {
    this.store = store;
    this.timeline = timeline;
    store.on("edit", () => this.#dragged());
    store.on(["video", "review"], () => this.#hide()); // the tab shows the reviewed segment
  }

  /**
   * @param {TrackHit | null} hit
   * @param {{ x: number, y: number }} point
   */
  hovered(hit, { x }) {
    const row = hit && this.timeline.rowOf(hit);
    if (!hit?.describe || !row || !hit.box) this.#hide();
    else this.#show(hit.describe(), x, row.box.y + hit.box.y);
  }

  #dragged() {
    const { editor } = this.store;
    if (!editor?.draft) {
      this.#hide();
      return;
    }
    const { index, segment, to } = editor.draft, before = editor.segments?.[index];
    const row = this.timeline.rows.find(({ track }) => track.kind === "corrections");
    const { scrubber, view, left, right } = this.timeline;
    const x = left + ((scrubber.time - view.from) / view.length) * (right - left);
    if (row) this.#show(dotted(changeOf(segment, before), to), x, row.box.y);
  }

  #hide() {
    this.#element.hidden = true;
  }

  /**
   * @param {string} text
   * @param {number} x
   * @param {number} y of what it describes
   */
  #show(text, x, y) {
    const tip = this.#element, { width, room } = this.timeline;
    tip.hidden = false;
    tip.textContent = text;
    const left = clip(x - tip.offsetWidth / 2, 4, Math.max(width - tip.offsetWidth - 4, 4));
    const top = Math.max(y - tip.offsetHeight - 6, 0) + room.scrollTop;
    tip.style.transform = `translate(${left}px, ${top}px)`;
  }
}

/**
 * Describe a segment during a drag, and by how much it changed.
 * @param {Segment} now
 * @param {Segment | undefined} before
 */
function changeOf(now, before) {
  if (!before) return `${clocks(now, 2)} · ${(now.end - now.start).toFixed(2)} s`;
  const starts = now.start - before.start, ends = now.end - before.end;
  const by = Math.abs(starts) > Math.abs(ends) ? starts : ends;
  const change = `${signed(by, 2)} s`;
  if (Math.abs(ends) < 1e-9) return `start ${clock(now.start, 2)} · ${change}`;
  if (Math.abs(starts) < 1e-9) return `end ${clock(now.end, 2)} · ${change}`;
  return `${clocks(now, 2)} · ${change}`;
}
