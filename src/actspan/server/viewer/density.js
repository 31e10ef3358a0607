// Segments that are too narrow to be drawn as bars: how many there are per pixel, and clusters of them.

/** @import { Gesture, Hit, Span } from "./types.js" */
/** @import { Painter } from "./painter.js" */
/** @import { Scrubber } from "./scrubber.js" */

import { clocks, plural } from "./text.js";

const MANY = 30, NARROW = 3; // segments in view, pixels: more of them, and half of them narrower
const COLUMN = 2, APART = 6; // pixels of a column, and between clusters

/**
 * Return whether segments are drawn as a density at this zoom.
 * @param {Span[]} segments
 * @param {Painter} painter
 */
export function isDense(segments, painter) {
  const visible = segments.filter((segment) => painter.isVisible(segment));
  if (visible.length <= MANY) return false;
  const narrow = NARROW * (painter.view.length / painter.width);
  return visible.filter(({ start, end }) => end - start < narrow).length > visible.length / 2;
}

/**
 * Paint how many segments there are: the higher a column, the more.
 * @param {Painter} painter
 * @param {Span[]} segments
 * @param {number} y
 * @param {number} height
 * @param {string} colour
 */
export function paintDensity(painter, segments, y, height, colour) {
  const { c, left, right, width } = painter;
  const counts = new Float32Array(Math.ceil(width / COLUMN));
  for (const segment of segments) {
    if (!painter.isVisible(segment)) continue;
    const first = Math.max(Math.floor((painter.x(segment.start) - left) / COLUMN), 0);
    const last = Math.min(Math.floor((Math.min(painter.x(segment.end), right) - left) / COLUMN), counts.length - 1);
    for (let i = first; i <= last; i += 1) counts[i] += 1;
  }
  const most = Math.max(...counts, 1);
  c.fillStyle = painter.colours[colour];
  counts.forEach((count, i) => {
    const part = Math.max(height * (count / most), count ? 2 : 0);
    c.fillRect(left + COLUMN * i, y + height - part, COLUMN, part);
  });
}

/**
 * Return the cluster under the pointer, or null.
 * @param {number} height of the track
 * @param {Span[]} segments
 * @param {number} seconds
 * @param {Scrubber} scrubber
 * @returns {Hit | null}
 */
export function clusterHit(height, segments, seconds, { scale }) {
  const cluster = clusterAt(segments, seconds, scale);
  if (!cluster) return null;
  const { start, end, count } = cluster;
  const describe = () => `${plural(count, "segment")} · ${clocks(cluster)} · click to zoom in`;
  return { segment: { start, end, label: "" }, cursor: "zoom-in", describe, box: { y: 0, height } };
}

/**
 * Return what a press on a cluster does: a click shows it alone, a drag moves the position.
 * @param {Span} cluster
 * @param {number} seconds
 * @param {Scrubber} scrubber
 * @returns {Gesture}
 */
export function openCluster(cluster, seconds, scrubber) {
  const { view } = scrubber.timeline;
  return scrubber.clickOr(() => view.show(...rangeOf(cluster, seconds, view.length)));
}

/**
 * Return the cluster at a time: segments with gaps of a few pixels at most, or null.
 * @template {Span} T
 * @param {T[]} segments
 * @param {number} seconds
 * @param {number} scale seconds per pixel
 * @returns {Span & { count: number } | null}
 */
function clusterAt(segments, seconds, scale) {
  const gap = APART * scale;
  /** @type {Span & { count: number } | null} */
  let cluster = null;
  for (const { start, end } of segments.toSorted((a, b) => a.start - b.start)) {
    if (cluster && start <= cluster.end + gap) {
      cluster.end = Math.max(cluster.end, end);
      cluster.count += 1;
    } else {
      if (cluster && seconds <= cluster.end + gap / 2) break;
      cluster = { start, end, count: 1 };
    }
  }
  const isHit = cluster && seconds >= cluster.start - gap / 2 && seconds <= cluster.end + gap / 2;
  return isHit ? cluster : null;
}

/**
 * Return the range that shows a cluster; of one that fills the view, the part around a time.
 * @param {Span} cluster
 * @param {number} seconds
 * @param {number} length of the view, seconds
 * @returns {[number, number]}
 */
function rangeOf({ start, end }, seconds, length) {
  const margin = (end - start) * 0.1;
  if (end - start + 2 * margin < length / 2) return [start - margin, end + margin];
  return [seconds - length / 8, seconds + length / 8];
}
