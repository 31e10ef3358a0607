// Jobs on the served videos, and what they changed, in words.

/** @import { ComparedGroup, WorkJob } from "../types.js" */

import { plural } from "../text.js";

/** @param {WorkJob} job */
export const titleOf = ({ kind, name }) => (kind === "train" ? `Training ${name}` : `Proposing with ${name}`);

/**
 * Return what a job does, or how it ended.
 * @param {WorkJob} job
 */
export function stateOf({ state, progress, error, status, result }) {
  if (state === "queued") return "waiting";
  if (state === "failed") return `failed: ${error}`;
  if (state === "done") return `done: run ${result?.run}${skippedOf(result?.skipped ?? {})}`;
  const { step, done, total } = status;
  const count = total ? `, ${done.toLocaleString("en")} of ${total.toLocaleString("en")}` : "";
  return `${Math.floor(100 * progress)} %${step && ` · ${step}`}${count}`;
}

/** @param {Record<string, string>} skipped reasons by video */
function skippedOf(skipped) {
  const reasons = Object.entries(skipped).map(([id, reason]) => `${id} (${reason})`);
  return reasons.length ? `; ${plural(reasons.length, "video")} skipped: ${reasons.join(", ")}` : "";
}

/** @param {number} points */
const signed = (points) => `${points < 0 ? "−" : "+"}${Math.abs(points).toFixed(1)}`;

/** @type {Record<string, (count: number) => string>} */
const GROUPS = {
  "all": (count) => `On all ${plural(count, "video")} with segments`,
  "corrected": (count) => `On ${plural(count, "corrected video")}`,
  "held-out": (count) => `On ${plural(count, "held-out video")}, which no model here learned from`,
};

/**
 * Return in one sentence how much better run B is than run A.
 * @param {ComparedGroup} group
 * @param {string} a
 * @param {string} b
 */
export function sentenceOf({ name, a: first, b: second, difference: { auc, low, high } }, a, b) {
  const where = (GROUPS[name] ?? GROUPS.all)(first.videos);
  const figures = `AUC ${first.figures.AUC.toFixed(1)} to ${second.figures.AUC.toFixed(1)}`;
  if (low === null || high === null) {
    return `${where}: ${b} against ${a}: ${signed(auc)} (${figures}). One video has no interval.`;
  }
  const interval = `95 % interval ${signed(low)} to ${signed(high)}`;
  if (low <= 0 && high >= 0) return `${where}: no clear difference, ${signed(auc)} (${figures}; ${interval}).`;
  const verdict = `${b} is ${low > 0 ? "better" : "worse"} than ${a}`;
  return `${where}: ${verdict} by ${Math.abs(auc).toFixed(1)} points (${figures}; ${interval}).`;
}
