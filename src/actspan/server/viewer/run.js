// One run: what it proposes for the shown video, and its settings of Soft-NMS.

/** @import { Proposal, RunInfo, Suppression } from "./types.js" */
/** @import { Curves } from "./curves.js" */

import { packLanes } from "./segments.js";
import { letterOf } from "./text.js";

const COLOURS = [0, 3, 4, 5, 6, 1, 2]; // of runs; curves have 1 and 2 already

export class Run {
  /** @type {Suppression | null} settings that replace those that the run was made with */
  settings = null;
  /** @type {Curves | null} */
  curves = null;
  /** @type {Proposal[]} best first */
  all = [];
  /** @type {Proposal[]} those that pass the filter */
  visible = [];
  /** @type {ReturnType<typeof packLanes<Proposal>>} */
  lanes = { lanes: 0, placed: [] };

  /**
   * @param {RunInfo | null} info null for the result of a job
   * @param {number} number from 0
   */
  constructor(info, number) {
    this.number = number;
    this.name = info?.name ?? "";
    this.letter = letterOf(number);
    this.colour = `run${COLOURS[number % COLOURS.length]}`;
    this.shown = number < 2;
    this.isLabelFree = info?.is_label_free ?? false; // its curves of start and end are the same
    this.asRun = info?.can_suppress ? info.suppression : null;
  }

  get canSuppress() {
    return this.asRun !== null;
  }

  // The settings that apply.
  get suppression() {
    return this.settings ?? this.asRun;
  }

  /** @param {Suppression} settings */
  suppress(settings) {
    const { asRun } = this;
    const names = /** @type {(keyof Suppression)[]} */ (Object.keys(settings));
    const differs = names.some((name) => Math.abs(settings[name] - (asRun?.[name] ?? NaN)) > 1e-9);
    this.settings = asRun && differs ? { ...settings } : null;
  }

  // The settings as the list of videos needs them, or null if they are those of the run.
  get variant() {
    if (!this.settings) return null;
    const { threshold_short: short, threshold_long: long, decay, keep } = this.settings;
    return `${this.number}:${short},${long},${decay},${keep}`;
  }

  get best() {
    return this.all[0]?.score ?? 1;
  }

  /**
   * Choose the proposals that are visible.
   * @param {number} score
   * @param {number} most
   * @param {number} lanes on the timeline
   */
  filter(score, most, lanes) {
    this.visible = this.all.filter((proposal) => proposal.score >= score).slice(0, most);
    this.lanes = packLanes(this.visible, lanes);
  }
}

/**
 * Return the options of a list of runs: number, and letter with name.
 * @param {Run[]} runs
 */
export const runOptions = (runs) => runs.map(({ number, letter, name }) => [String(number), `${letter} ${name}`]);
