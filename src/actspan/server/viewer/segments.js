// Computations on segments.

/** @import { Columns, Proposal, Segment, Span } from "./types.js" */

export const SHORTEST = 0.05; // seconds of a segment that is drawn, marked or split off

/**
 * Return the span from the first start to the last end.
 * @param {Span[]} segments
 */
export const hull = (segments) => ({
  start: Math.min(...segments.map((s) => s.start)), end: Math.max(...segments.map((s) => s.end)),
});

/**
 * Return the tIoU of two segments.
 * @param {Span} a
 * @param {Span} b
 */
export function overlap(a, b) {
  const inner = Math.max(Math.min(a.end, b.end) - Math.max(a.start, b.start), 0);
  const union = a.end - a.start + (b.end - b.start) - inner;
  return union > 0 ? inner / union : 0;
}

/**
 * Return the largest tIoU of a segment with any of the others, 0 without others.
 * @param {Span} segment
 * @param {Span[]} others
 */
export const bestOverlap = (segment, others) => Math.max(0, ...others.map((other) => overlap(segment, other)));

/**
 * Convert the columns of an answer to proposals with a rank, from 1.
 * @param {Columns} columns
 * @returns {Proposal[]}
 */
export function ranked({ start, end, score, labels }) {
  return start.map((seconds, i) => ({
    start: seconds, end: end[i], score: score[i], label: labels?.[i] ?? "", rank: i + 1,
  }));
}

/**
 * Place each segment in the first lane where it fits; segments beyond the last lane are left out.
 * @template {Span} T
 * @param {T[]} segments
 * @param {number} most lanes
 * @returns {{ lanes: number, placed: (T & { lane: number })[] }}
 */
export function packLanes(segments, most) {
  /** @type {T[][]} */
  const lanes = [];
  /** @type {(T & { lane: number })[]} */
  const placed = [];
  for (const segment of segments) {
    const free = lanes.findIndex((lane) =>
      !lane.some((other) => other.start < segment.end && segment.start < other.end));
    const lane = free >= 0 ? free : lanes.length;
    if (lane >= most) continue;
    (lanes[lane] ??= []).push(segment);
    placed.push({ ...segment, lane });
  }
  return { lanes: lanes.length, placed };
}

/**
 * Return the segments without repetitions, by start.
 * @param {Segment[]} segments
 * @returns {Segment[]}
 */
export function distinct(segments) {
  const known = new Map(segments.map((s) => [`${s.start} ${s.end} ${s.label}`, s]));
  return [...known.values()].sort((a, b) => a.start - b.start || a.end - b.end);
}

/**
 * Return the edge of a segment at a time, "" between both; a short segment keeps a middle part.
 * @param {Span} segment
 * @param {number} seconds
 * @param {number} reach seconds
 */
export function edgeAt({ start, end }, seconds, reach) {
  const inner = Math.min(reach, (end - start) / 3);
  if (seconds < start + inner) return "start";
  return seconds > end - inner ? "end" : "";
}

/**
 * Return a segment after a drag by some seconds, inside the video and with start < end.
 * @param {Segment} segment
 * @param {"" | "start" | "end"} edge what is dragged; "" is the whole segment
 * @param {number} by
 * @param {number} seconds of the video
 * @param {number} shortest
 * @returns {Segment}
 */
export function dragged(segment, edge, by, seconds, shortest) {
  const { start, end } = segment;
  if (edge === "start") return { ...segment, start: clip(start + by, 0, Math.max(end - shortest, 0)) };
  if (edge === "end") return { ...segment, end: clip(end + by, start + shortest, Math.max(seconds, end)) };
  const moved = clip(by, -start, Math.max(seconds - end, -start));
  return { ...segment, start: start + moved, end: end + moved };
}

/**
 * @param {number} value
 * @param {number} low
 * @param {number} high
 */
export const clip = (value, low, high) => Math.min(Math.max(value, low), high);
