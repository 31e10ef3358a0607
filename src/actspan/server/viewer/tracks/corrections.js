// The corrections: edges are dragged, segments moved and drawn, also over others.

/** @import { Box, Gesture, Hit, Place, Press, Segment, Track } from "../types.js" */
/** @import { Painter } from "../painter.js" */
/** @import { Scrubber } from "../scrubber.js" */
/** @import { Store } from "../store.js" */

import { dragged, packLanes } from "../segments.js";
import { clocks } from "../text.js";

const MOST = 8; // lanes
const SHORTEST = 0.05; // seconds of a segment that is drawn

/** @implements {Track} */
export class CorrectionsTrack {
  kind = "corrections";

  /**
   * @param {string} name
   * @param {Store} store
   * @param {Scrubber} scrubber
   * @param {boolean} isTouch
   */
  constructor(name, store, scrubber, isTouch) {
    this.name = name;
    this.store = store;
    this.scrubber = scrubber;
    this.lane = isTouch ? 30 : 20;
    const numbered = (store.editor?.shown ?? []).map((segment, index) => ({ ...segment, index }));
    this.lanes = packLanes(numbered, MOST);
    this.height = this.most = Math.max(this.lanes.lanes, 1) * this.lane + 2;
  }

  /**
   * @param {Painter} painter
   * @param {Box} box
   */
  paint(painter, { y, height }) {
    const { c } = painter, { editor } = this.store;
    c.strokeStyle = painter.colours.edge;
    c.lineWidth = 1;
    c.setLineDash([3, 3]);
    c.strokeRect(painter.left + 0.5, y + 0.5, painter.width - 1, height - 1);
    c.setLineDash([]);
    if (!this.lanes.lanes) painter.text("Drag here to mark a segment", painter.left + 8, y + height / 2 + 4);
    for (const placed of this.lanes.placed) {
      const top = y + 2 + placed.lane * this.lane;
      painter.bar(placed, top, this.lane - 2, "corrected");
      if (placed.index === editor?.selected) painter.outline(placed, top + 1, this.lane - 4);
    }
  }

  /**
   * @param {Place} place
   * @returns {Hit}
   */
  hit({ seconds, y, reach }) {
    const { editor } = this.store;
    const lane = Math.floor((y - 1) / this.lane);
    const found = this.lanes.placed
      .filter((p) => p.lane === lane && seconds >= p.start - reach && seconds <= p.end + reach)
      .sort((a, b) => distance(a, seconds) - distance(b, seconds))[0];
    if (!found) return { track: this, cursor: "crosshair" };
    const inner = Math.min(reach, (found.end - found.start) / 3);
    const edge = seconds < found.start + inner ? "start" : seconds > found.end - inner ? "end" : "";
    const cursor = edge ? "ew-resize" : found.index === editor?.selected ? "grab" : "pointer";
    return {
      track: this, segment: found, index: found.index, edge, cursor,
      box: { y: 2 + lane * this.lane, height: this.lane - 2 },
      describe: () => [found.label, clocks(found, 2)].filter(Boolean).join(" · "),
    };
  }

  /**
   * @param {Hit} hit
   * @param {Press} press
   */
  press({ segment, index = -1, edge = "" }, { x, shift }) {
    if (!segment || shift) return this.#drawing(x);
    if (edge) return this.#dragging(segment, index, edge, x);
    return this.#onSegment(segment, index, x);
  }

  // A click selects and plays. A drag moves the selected segment, and draws over another one.
  /**
   * @param {Segment} segment
   * @param {number} index
   * @param {number} x
   * @returns {Gesture}
   */
  #onSegment(segment, index, x) {
    const isSelected = this.store.editor?.selected === index;
    const drag = isSelected ? this.#dragging(segment, index, "", x) : this.#drawing(x);
    return {
      ...drag,
      end: (moved, place) => {
        if (moved) drag.end(moved, place);
        else {
          this.store.select(index);
          this.scrubber.playOnly(segment);
        }
      },
    };
  }

  /**
   * @param {Segment} segment
   * @param {number} index
   * @param {"" | "start" | "end"} edge
   * @param {number} x
   * @returns {Gesture}
   */
  #dragging({ start, end, label }, index, edge, x) {
    const { store, scrubber } = this;
    const from = scrubber.seconds(x);
    /** @param {number} place */
    const now = (place) =>
      dragged({ start, end, label }, edge, scrubber.seconds(place) - from, store.seconds, SHORTEST);
    store.select(index);
    if (edge) scrubber.goTo(edge === "start" ? start : end);
    return {
      move: (place) => {
        const segment = now(place);
        store.editor?.preview({ index, segment });
        scrubber.goTo(edge === "end" ? segment.end : segment.start);
      },
      cancel: () => store.editor?.preview(null),
      end: (moved, place) => {
        store.editor?.preview(null);
        if (moved) store.editor?.edit(index, now(place));
      },
    };
  }

  /**
   * @param {number} x
   * @returns {Gesture}
   */
  #drawing(x) {
    const { store, scrubber } = this;
    const from = scrubber.seconds(x);
    /** @param {number} place */
    const now = (place) => {
      const to = scrubber.seconds(place);
      return { start: Math.min(from, to), end: Math.max(from, to), label: "" };
    };
    return {
      move: (place) => {
        store.editor?.preview({ index: -1, segment: now(place) });
        scrubber.goTo(scrubber.seconds(place));
      },
      cancel: () => store.editor?.preview(null),
      end: (moved, place) => {
        store.editor?.preview(null);
        const { start, end } = now(place);
        if (!moved) scrubber.goTo(from);
        else if (end - start >= SHORTEST) store.editor?.add(start, end);
      },
    };
  }
}

/**
 * Return how far a time is from the nearest edge of a segment.
 * @param {Segment} segment
 * @param {number} seconds
 */
const distance = ({ start, end }, seconds) => Math.min(Math.abs(seconds - start), Math.abs(seconds - end));
