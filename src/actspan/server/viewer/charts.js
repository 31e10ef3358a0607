// Charts of the home page: the AUC of every video, as a histogram per run and as A against B.

/** @import { PerVideo } from "./types.js" */
/** @import { Run } from "./run.js" */

import { drawing, drawn, make } from "./dom.js";
import { clip } from "./segments.js";

const BINS = 20, TALL = 34, SQUARE = 100, NEAR = 2.5; // bins, units of the drawings

/**
 * Selection in a chart: the AUC of runs, percent.
 * @typedef {[run: number, low: number, high: number][]} Ranges
 */

/**
 * Draw how the AUC of a run is distributed over the videos; a bar selects its videos.
 * @param {HTMLElement} room
 * @param {Run} run
 * @param {(number | null)[]} auc percent
 * @param {[low: number, high: number] | undefined} range that is selected
 * @param {(ranges: Ranges) => void} select
 */
export function histogram(room, run, auc, range, select) {
  const known = auc.filter((value) => value !== null), counts = new Array(BINS).fill(0);
  const wide = 100 / BINS;
  for (const value of known) counts[Math.min(Math.floor(value / wide), BINS - 1)] += 1;
  const most = Math.max(...counts, 1), mean = known.reduce((sum, value) => sum + value, 0) / known.length;
  const name = `AUC of ${run.letter} per video: mean ${known.length ? mean.toFixed(1) : "–"}, ${known.length} videos`;
  const figure = make(room, "figure", { className: `histogram ${run.colour}` });
  make(figure, "figcaption", {}, run.letter);
  const picture = drawing(figure, 100, TALL, { role: "img", "aria-label": name, preserveAspectRatio: "none" });
  counts.forEach((count, i) => {
    const height = (count / most) * (TALL - 2), low = i * wide, high = low + wide;
    const isOut = range && (high <= range[0] || low >= range[1]);
    const bar = { x: low + 0.3, y: TALL - 1 - height, width: wide - 0.6, height };
    drawn(picture, "rect", { class: isOut ? "bar out" : "bar", ...bar });
    const column = drawn(picture, "rect", { class: "column", x: low, y: 0, width: wide, height: TALL });
    drawn(column, "title").textContent = `${low} to ${high}: ${count}`;
    column.addEventListener("click", () => select([[run.number, low, high]]));
  });
  drawn(picture, "path", { class: "axis", d: `M0 ${TALL - 0.5}H100` });
}

/** @typedef {{ id: string, x: number, y: number }} Point percent of A, and 100 - percent of B */

/**
 * Draw the AUC of run A against that of run B, a point per video. A drag selects the videos in a
 * rectangle, a click opens the nearest one.
 * @param {HTMLElement} room
 * @param {[a: Run, b: Run]} runs
 * @param {PerVideo} found
 * @param {Map<number, [low: number, high: number]>} selected
 * @param {{ select: (ranges: Ranges) => void, open: (id: string) => void }} actions
 */
export function scatter(room, [a, b], { ids, auc }, selected, { select, open }) {
  const points = ids.flatMap((id, i) => {
    const x = auc[a.number][i], y = auc[b.number][i];
    return x === null || y === null ? [] : [{ id, x, y: SQUARE - y }];
  });
  const better = points.filter(({ x, y }) => SQUARE - y > x).length;
  const name = `AUC of ${b.letter} (up) against ${a.letter} (right), a point per video`;
  const figure = make(room, "figure", { className: "scatter" });
  const picture = drawing(figure, SQUARE, SQUARE, { role: "img", "aria-label": name });
  drawn(picture, "rect", { class: "frame", width: SQUARE, height: SQUARE });
  drawn(picture, "path", { class: "axis", d: `M0 ${SQUARE}L${SQUARE} 0` });
  const dots = points.map(({ x, y }) => `M${x.toFixed(1)} ${y.toFixed(1)}h0`).join("");
  drawn(picture, "path", { class: "points", d: dots });
  const brush = drawn(picture, "rect", { class: "brush" });
  const [left, right] = selected.get(a.number) ?? [0, 100], [low, high] = selected.get(b.number) ?? [0, 100];
  if (selected.has(a.number) || selected.has(b.number)) place(brush, left, right, SQUARE - high, SQUARE - low);
  drawn(picture, "text", { class: a.colour, x: 97, y: 97, "text-anchor": "end" }).textContent = a.letter;
  drawn(picture, "text", { class: b.colour, x: 3, y: 9 }).textContent = b.letter;
  const words = `${b.letter} is better on ${better} of ${points.length}`;
  const caption = make(figure, "figcaption", {}, words);
  const say = (/** @type {Point | undefined} */ one) => {
    caption.textContent = one
      ? `${one.id} · ${a.letter} ${one.x.toFixed(1)} · ${b.letter} ${(SQUARE - one.y).toFixed(1)}` : words;
  };
  picture.addEventListener("pointermove", (event) => say(nearest(points, placeIn(picture, event))));
  picture.addEventListener("pointerleave", () => say(undefined));
  brushing(picture, brush, (x0, x1, y0, y1) => select([
    [a.number, Math.floor(x0), Math.ceil(x1)], [b.number, Math.floor(SQUARE - y1), Math.ceil(SQUARE - y0)],
  ]), (at) => {
    const one = nearest(points, at);
    if (one) open(one.id);
  });
}

/**
 * Return the nearest point within reach.
 * @param {Point[]} points
 * @param {[x: number, y: number]} at
 */
function nearest(points, [x, y]) {
  const far = (/** @type {Point} */ point) => Math.hypot(point.x - x, point.y - y);
  return points.filter((point) => far(point) < NEAR).sort((p, q) => far(p) - far(q))[0];
}

/**
 * @param {SVGRectElement} brush
 * @param {number} x0
 * @param {number} x1
 * @param {number} y0
 * @param {number} y1
 */
function place(brush, x0, x1, y0, y1) {
  const box = { x: x0, y: y0, width: x1 - x0, height: y1 - y0 };
  for (const [name, value] of Object.entries(box)) brush.setAttribute(name, String(value));
}

/**
 * Return where the pointer is, in units of a square drawing.
 * @param {SVGSVGElement} picture
 * @param {PointerEvent} event
 * @returns {[x: number, y: number]}
 */
function placeIn(picture, { clientX, clientY }) {
  const box = picture.getBoundingClientRect();
  return [
    clip(((clientX - box.left) / box.width) * SQUARE, 0, SQUARE),
    clip(((clientY - box.top) / box.height) * SQUARE, 0, SQUARE),
  ];
}

/**
 * Select a rectangle by a drag; a press without one is a click.
 * @param {SVGSVGElement} picture
 * @param {SVGRectElement} brush
 * @param {(x0: number, x1: number, y0: number, y1: number) => void} select
 * @param {(at: [x: number, y: number]) => void} click
 */
function brushing(picture, brush, select, click) {
  /** @type {[x: number, y: number] | null} */
  let from = null;
  picture.addEventListener("pointerdown", (event) => {
    from = placeIn(picture, event);
    picture.setPointerCapture(event.pointerId);
  });
  const corners = (/** @type {PointerEvent} */ event) => {
    const [x, y] = placeIn(picture, event), [x0, y0] = from ?? [x, y];
    return /** @type {const} */ ([Math.min(x, x0), Math.max(x, x0), Math.min(y, y0), Math.max(y, y0)]);
  };
  picture.addEventListener("pointermove", (event) => { if (from) place(brush, ...corners(event)); });
  picture.addEventListener("pointercancel", () => { from = null; });
  picture.addEventListener("pointerup", (event) => {
    if (!from) return;
    const [x0, x1, y0, y1] = corners(event);
    const isClick = x1 - x0 < NEAR && y1 - y0 < NEAR;
    from = null;
    if (isClick) click([x0, y0]);
    else select(x0, x1, y0, y1);
  });
}
