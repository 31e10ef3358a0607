// The comparison of two runs in one sentence.

/** @import { Compared } from "./types.js" */
/** @import { Run } from "./run.js" */

/** @type {Record<string, string>} */
const GROUPS = { "all": "", "corrected": "corrected ", "held-out": "held-out " };

/** @param {number} points */
const signed = (points) => `${points < 0 ? "−" : "+"}${Math.abs(points).toFixed(1)}`;

/**
 * Return whether B is better than A on a group of videos, with the difference and its interval.
 * @param {Compared} group
 * @param {Run} a
 * @param {Run} b
 */
export function verdict({ name, a: { videos }, difference: { auc, low, high } }, a, b) {
  const where = `${GROUPS[name] ?? ""}${videos === 1 ? "video" : "videos"}`;
  const counted = `on ${videos.toLocaleString("en")} ${where}`;
  if (low === null || high === null) return `${b.letter} − ${a.letter} is ${signed(auc)} points of AUC ${counted}.`;
  const isClear = low > 0 || high < 0, [better, worse] = auc < 0 ? [a, b] : [b, a];
  const first = isClear ? `${better.letter} is better than ${worse.letter}` : "No run is clearly better";
  return `${first} ${counted}: ${b.letter} − ${a.letter} is ${signed(auc)} points of AUC`
    + ` (95 % interval ${signed(low)} to ${signed(high)}).`;
}
