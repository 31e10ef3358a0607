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

/**
 * Return of which videos a group consists.
 * @param {string} name
 * @param {number} count
 * @param {boolean} isTrained whether a model of the runs learned from videos here
 */
function videosOf(name, count, isTrained) {
  if (name === "held-out") return `On ${plural(count, "held-out video")}, which neither model learned from`;
  const videos = plural(count, name === "corrected" ? "corrected video" : "video");
  return `On ${name === "all" ? `all ${videos} with segments` : videos}${isTrained ? ", learned from or not" : ""}`;
}

/**
 * Return in one sentence how much better run B is than run A.
 * @param {ComparedGroup} group
 * @param {string} a
 * @param {string} b
 * @param {boolean} isTrained whether a model of the runs learned from videos here
 */
export function sentenceOf({ name, a: first, b: second, difference: { auc, low, high } }, a, b, isTrained) {
  const where = videosOf(name, first.videos, isTrained);
  const figures = `AUC ${first.figures.AUC.toFixed(1)} to ${second.figures.AUC.toFixed(1)}`;
  if (low === null || high === null) {
    return `${where}: ${b} against ${a}: ${signed(auc)} (${figures}). One video has no interval.`;
  }
  const interval = `95 % interval ${signed(low)} to ${signed(high)}`;
  if (low <= 0 && high >= 0) return `${where}: no clear difference, ${signed(auc)} (${figures}; ${interval}).`;
  const verdict = `${b} is ${low > 0 ? "better" : "worse"} than ${a}`;
  return `${where}: ${verdict} by ${Math.abs(auc).toFixed(1)} points (${figures}; ${interval}).`;
}
