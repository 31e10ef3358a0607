// The corrections: edges are dragged and snap, segments are moved, selected and drawn, also over others.

/** @import { Box, Gesture, Hit, Place, Press, Segment, Track } from "../types.js" */
/** @import { Painter } from "../painter.js" */
/** @import { Scrubber } from "../scrubber.js" */
/** @import { Store } from "../store.js" */

import { clusterHit, isDense, openCluster, paintDensity } from "../density.js";
import { clip, dragged, edgeAt, hull, packLanes, SHORTEST } from "../segments.js";
import { Snapping } from "../snapping.js";
import { clocks, dotted } from "../text.js";

const MOST = 8; // lanes
const REACH = 6; // pixels within which an edge snaps

/** @implements {Track} */
export class CorrectionsTrack {
  kind = "corrections";
  isDense = false;

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
    const { editor, labels } = this.store, chosen = new Set(editor?.chosen);
    painter.dashed(painter.left, painter.width, { y, height }, "edge");
    if (!this.lanes.lanes) painter.text("Drag here to mark a segment", painter.left + 8, y + height / 2 + 4);
    this.isDense = isDense(editor?.shown ?? [], painter);
    if (this.isDense) {
      paintDensity(painter, editor?.shown ?? [], y + 2, height - 4, "corrected");
      return;
    }
    for (const placed of this.lanes.placed) {
      const top = y + 2 + placed.lane * this.lane;
      painter.bar(placed, top, this.lane - 2, labels.colour(placed.label));
      if (chosen.has(placed.index)) painter.outline(placed, top + 1, this.lane - 4);
    }
  }

  /**
   * @param {Place} place
   * @returns {Hit | null}
   */
  hit({ seconds, y, reach }) {
    const { editor } = this.store;
    if (this.isDense) return clusterHit(this.height, editor?.shown ?? [], seconds, this.scrubber);
    const lane = Math.floor((y - 1) / this.lane);
    const found = this.lanes.placed
      .filter((p) => p.lane === lane && seconds >= p.start - reach && seconds <= p.end + reach)
      .sort((a, b) => distance(a, seconds) - distance(b, seconds))[0];
    if (!found) return { cursor: "crosshair" };
    const edge = edgeAt(found, seconds, reach);
    const cursor = edge ? "ew-resize" : editor?.chosen.includes(found.index) ? "grab" : "pointer";
    return {
      segment: found, index: found.index, edge, cursor,
      box: { y: 2 + lane * this.lane, height: this.lane - 2 },
      describe: () => dotted(found.label, clocks(found)),
    };
  }

  /**
   * @param {Hit} hit
   * @param {Press} press
   */
  press({ segment, index = -1, edge = "" }, { x, shift }) {
    if (this.isDense && segment) return openCluster(segment, this.scrubber.seconds(x), this.scrubber);
    if (!segment) return this.#drawing(x);
    if (shift) return this.#adding(index, x);
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
    const isSelected = this.store.editor?.chosen.includes(index);
    const drag = isSelected ? this.#dragging(segment, index, "", x) : this.#drawing(x);
    return {
      ...drag,
      end: (moved, place, isFree) => {
        if (moved) drag.end(moved, place, isFree);
        else {
          this.store.select(index);
          this.scrubber.playOnly(segment);
        }
      },
    };
  }

  // With Shift, a click adds to the selection, and a drag draws a segment over this one.
  /**
   * @param {number} index
   * @param {number} x
   * @returns {Gesture}
   */
  #adding(index, x) {
    const drawing = this.#drawing(x);
    return {
      ...drawing,
      end: (moved, place, isFree) => {
        if (moved) drawing.end(moved, place, isFree);
        else this.store.editor?.toggle(index);
      },
    };
  }

  // Other selected segments move with one that is moved.
  /**
   * @param {Segment} segment
   * @param {number} index
   * @param {"" | "start" | "end"} edge
   * @param {number} x
   * @returns {Gesture}
   */
  #dragging({ start, end, label }, index, edge, x) {
    const { store, scrubber } = this, { editor } = store, segment = { start, end, label };
    const isOne = edge || !editor?.chosen.includes(index);
    if (isOne) store.select(index);
    const moving = editor?.chosen ?? [], segments = editor?.segments ?? [];
    const outer = hull(moving.map((i) => segments[i]));
    const snapping = new Snapping(store, scrubber.time, moving), from = scrubber.seconds(x);
    /**
     * @param {number} place
     * @param {boolean} isFree
     */
    const now = (place, isFree) => {
      const by = scrubber.seconds(place) - from;
      const snap = isFree ? { by, to: "" } : snapped(segment, edge, by, snapping, REACH * scrubber.scale);
      const share = edge ? snap.by : clip(snap.by, -outer.start, Math.max(store.seconds - outer.end, 0));
      /** @param {Segment} one */
      const move = (one) => dragged(one, edge, share, store.seconds, SHORTEST);
      const moved = new Map(moving.filter((i) => i !== index).map((i) => [i, move(segments[i])]));
      return { index, segment: move(segment), others: moved, to: snap.to };
    };
    if (edge) scrubber.goTo(edge === "start" ? start : end);
    return {
      move: (place, isFree) => {
        const draft = now(place, isFree);
        scrubber.goTo(edge === "end" ? draft.segment.end : draft.segment.start);
        editor?.preview(draft);
      },
      cancel: () => editor?.preview(null),
      end: (moved, place, isFree) => {
        editor?.preview(null);
        if (moved) editor?.move(now(place, isFree));
      },
    };
  }

  /**
   * @param {number} x
   * @returns {Gesture}
   */
  #drawing(x) {
    const { store, scrubber } = this, snapping = new Snapping(store, scrubber.time, []);
    const pressed = scrubber.seconds(x), reach = REACH * scrubber.scale;
    /**
     * @param {number} place
     * @param {boolean} isFree
     */
    const now = (place, isFree) => {
      const moving = scrubber.seconds(place), isForward = moving >= pressed;
      /**
       * @param {number} seconds
       * @param {"start" | "end"} edge
       */
      const at = (seconds, edge) => (isFree ? { seconds, to: "" } : snapping.snap(seconds, edge, reach));
      const from = at(pressed, isForward ? "start" : "end"), to = at(moving, isForward ? "end" : "start");
      const segment = {
        start: Math.min(from.seconds, to.seconds), end: Math.max(from.seconds, to.seconds), label: "",
      };
      return { index: -1, segment, to: to.to, at: to.seconds };
    };
    return {
      move: (place, isFree) => {
        const draft = now(place, isFree);
        scrubber.goTo(draft.at);
        store.editor?.preview(draft);
      },
      cancel: () => store.editor?.preview(null),
      end: (moved, place, isFree) => {
        store.editor?.preview(null);
        const { start, end } = now(place, isFree).segment;
        if (!moved) scrubber.goTo(pressed);
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

/**
 * Return by how much a segment moves when the dragged edge, or the nearer of both, snaps.
 * @param {Segment} segment
 * @param {"" | "start" | "end"} edge
 * @param {number} by
 * @param {Snapping} snapping
 * @param {number} reach
 */
function snapped(segment, edge, by, snapping, reach) {
  const found = (edge ? [edge] : /** @type {const} */ (["start", "end"])).map((one) => {
    const { seconds, to } = snapping.snap(segment[one] + by, one, reach);
    return { by: seconds - segment[one], to };
  });
  const named = found.filter(({ to }) => to);
  return (named.length ? named : found).sort((a, b) => Math.abs(a.by - by) - Math.abs(b.by - by))[0];
}
