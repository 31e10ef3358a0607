// The comparison of two runs in sentences, one per group of videos.

/** @import { Compared, RunFigures } from "./types.js" */
/** @import { Run } from "./run.js" */

import { plural, signed } from "./text.js";

const FIRST = ["held-out", "corrected", "all"]; // the fairest comparison first

/**
 * Return whether a run is better than another, per group of videos: the difference, and its interval.
 * @param {Compared[]} groups
 * @param {Run} a
 * @param {Run} b
 */
export function verdicts(groups, a, b) {
  const isTrained = groups.some(({ name }) => name === "held-out");
  const ordered = groups.toSorted((one, other) => FIRST.indexOf(one.name) - FIRST.indexOf(other.name));
  return ordered.map((group) => {
    const [finding, interval] = findingOf(group, a, b);
    const own = [ownOf(group.a, a), ownOf(group.b, b)].filter(Boolean).join(", and ");
    const figures = [group.a, group.b].map((one) => one.figures.AUC.toFixed(1)).join(" to ");
    const difference = `${b.letter} − ${a.letter} is ${signed(group.difference.auc)} points of AUC`;
    const unfair = own && ` This is no fair comparison: ${own}.`;
    return `${videosOf(group, isTrained)}: ${finding}${difference} (${figures}; ${interval}).${unfair}`;
  });
}

/**
 * Say how many of the instances are proposals of the run that is evaluated, or return "".
 * @param {RunFigures} figures
 * @param {Run} run
 */
const ownOf = ({ own, instances }, { letter }) =>
  own && `${own.toLocaleString("en")} of ${plural(instances, "instance")} `
    + `${own === 1 ? "is a proposal" : "are proposals"} that ${letter} made itself`;

/**
 * Return a note on a run that is evaluated with its own proposals, or "".
 * @param {RunFigures} figures
 * @param {Run} run
 */
export const ownNote = (figures, run) => {
  const own = ownOf(figures, run);
  return own && `* ${own}, accepted unchanged: its AUC is too high. Mark segments without the proposals to measure it.`;
};

/**
 * Return of which videos a group consists.
 * @param {Compared} group
 * @param {boolean} isTrained whether a model of the runs learned from videos here
 */
function videosOf({ name, a: { videos: count } }, isTrained) {
  if (name === "held-out") return `On ${plural(count, "held-out video")}, which neither model learned from`;
  const videos = plural(count, name === "corrected" ? "corrected video" : "video");
  return `On ${name === "all" ? `all ${videos} with segments` : videos}${isTrained ? ", learned from or not" : ""}`;
}

/**
 * Return which run is better, and the interval that says so.
 * @param {Compared} group
 * @param {Run} a
 * @param {Run} b
 */
function findingOf({ a: ofA, b: ofB, difference: { low, high } }, a, b) {
  if (low === null || high === null) {
    return ["", `${plural(ofA.videos, "video is", "videos are")} too few for an interval`];
  }
  const interval = `95 % interval ${signed(low)} to ${signed(high)}`;
  if (ofA.own || ofB.own) return ["", interval];
  if (low <= 0 && high >= 0) return ["no clear difference, ", interval];
  return [`${(low > 0 ? b : a).letter} is better, `, interval];
}
