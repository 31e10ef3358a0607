// Snapping of dragged edges: to the position, edges of other segments, peaks of the curves, and frames.

/** @import { Span } from "./types.js" */
/** @import { Curves } from "./curves.js" */
/** @import { Store } from "./store.js" */

const LOWEST = 0.3; // of the highest value in view: lower peaks are noise
const PIXELS = 1000; // width for which peaks are looked up

/**
 * @typedef {{ seconds: number, to: string }} Target
 * @typedef {"start" | "end"} Edge
 */

export class Snapping {
  /**
   * Collect the targets for a drag.
   * @param {Store} store
   * @param {number} position of the player, seconds
   * @param {number[]} dragged indices of corrections that are no targets
   */
  constructor(store, position, dragged) {
    this.media = store.media;
    const others = (store.editor?.segments ?? []).filter((_, i) => !dragged.includes(i));
    /** @type {Target[]} */
    const shared = [
      { seconds: position, to: "position" },
      ...edges(others, "correction"), ...edges(store.truth, "ground truth"),
    ];
    const curves = store.shownRuns.flatMap((run) => (run.curves ? [run.curves] : []));
    /** @param {Edge} edge */
    const of = (edge) => [...shared, ...curves.flatMap((one) => this.#peaks(one, store.view, edge))];
    /** @type {Record<Edge, Target[]>} */
    this.targets = { start: of("start"), end: of("end") };
  }

  /**
   * Return the nearest target in reach, else the time of the nearest frame.
   * @param {number} seconds
   * @param {Edge} edge
   * @param {number} reach seconds
   * @returns {Target}
   */
  snap(seconds, edge, reach) {
    const near = this.targets[edge].filter((one) => Math.abs(one.seconds - seconds) <= reach);
    near.sort((a, b) => Math.abs(a.seconds - seconds) - Math.abs(b.seconds - seconds));
    return near[0] ?? { seconds: this.media.snap(seconds), to: "" };
  }

  /**
   * Return the local maxima of a curve in the visible range.
   * @param {Curves} curves
   * @param {{ from: number, to: number }} view
   * @param {Edge} edge
   * @returns {Target[]}
   */
  #peaks(curves, { from, to }, edge) {
    const columns = curves.columns(from, to, PIXELS), curve = edge === "start" ? 1 : 2;
    if (!columns) return [];
    const { first, last } = columns;
    const values = Array.from({ length: last - first + 1 }, (_, i) => columns.high(curve, first + i));
    const least = LOWEST * Math.max(...values);
    return values.flatMap((value, i) => {
      const isPeak = value >= least && value > (values[i - 1] ?? -1) && value >= (values[i + 1] ?? -1);
      return isPeak ? [{ seconds: this.media.snap(columns.middle(first + i)), to: `peak of ${edge}` }] : [];
    });
  }
}

/**
 * @param {Span[]} segments
 * @param {string} to
 */
const edges = (segments, to) =>
  segments.flatMap(({ start, end }) => [{ seconds: start, to }, { seconds: end, to }]);
