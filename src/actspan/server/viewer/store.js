// The state of the page. Modules read it, change it by its methods, and listen to its events.

/** @import { Overview, Proposal, Segment, ShownVideo } from "./types.js" */
/** @import { Editor } from "./editor.js" */
/** @import { Review } from "./review.js" */

import { Comparison } from "./comparison.js";
import { Hits } from "./hits.js";
import { Labels } from "./labels.js";
import { Media } from "./media.js";
import { Run } from "./run.js";
import { clip } from "./segments.js";
import { View } from "./view.js";

const LANES = 14, SHARED = 20, FEWEST = 4; // lanes of proposals: of one run, of several together, of each

/**
 * What changed:
 * - video: another video is shown, or none
 * - length: the video is longer than it was said to be
 * - proposals: the visible proposals of the runs
 * - runs: which runs are shown
 * - choice: the selected proposal or segment
 * - edit: the corrections, or a segment during a drag
 * - suppression: settings of Soft-NMS of a run
 * - served: the service has other runs than before
 * - media: frames, filmstrip or sound of the video are known, or cannot be read
 * - picture: a part of the filmstrip or of the sound is loaded
 * - hits: the tIoU of a hit, or the chosen instance
 * - review: the reviewed proposal
 * - comparison: whether and how two runs are compared on one axis
 * @typedef {"served" | "video" | "length" | "proposals" | "runs" | "choice" | "edit" | "suppression"
 *   | "media" | "picture" | "hits" | "review" | "comparison"} Change
 */

export class Store extends EventTarget {
  /** @type {ShownVideo | null} */
  video = null;
  seconds = 0; // of the video
  /** @type {Segment[]} */
  truth = [];
  /** @type {Run[]} runs of the shown video */
  runs = [];
  /** @type {Editor | null} null if the video cannot be corrected */
  editor = null;
  /** @type {{ run: Run, proposal: Proposal } | null} */
  chosen = null;
  filter = { score: 0, most: 20 };
  view = new View();
  media = new Media(this);
  hits = new Hits(this);
  /** @type {Review | null} */
  review = null;

  /** @param {Overview} about */
  constructor(about) {
    super();
    this.about = about;
    this.labels = new Labels(this);
    this.served = about.runs.map((info, number) => new Run(info, number));
    this.comparison = new Comparison(this);
    this.comparison.addEventListener("change", () => this.emit("comparison"));
  }

  /**
   * Take over which runs the service has; new ones are shown, with the one before them.
   * @param {Overview} about
   */
  serve(about) {
    const before = this.served;
    this.about = about;
    this.served = about.runs.map((info, number) =>
      (before[number]?.name === info.name ? before[number] : new Run(info, number)));
    if (this.served.length > before.length) {
      for (const run of this.served) run.shown = run.number >= this.served.length - 2;
    }
    this.emit("served");
  }

  /**
   * @param {Change | Change[]} changes
   * @param {() => void} handler
   */
  on(changes, handler) {
    for (const change of [changes].flat()) this.addEventListener(change, handler);
  }

  /** @param {Change} change */
  emit(change) {
    this.dispatchEvent(new Event(change));
  }

  /**
   * Show a video; the runs have its proposals already.
   * @param {ShownVideo} video
   * @param {Run[]} runs
   * @param {Editor | null} editor
   */
  show(video, runs, editor) {
    Object.assign(this, { video, runs, editor, truth: video.ground_truth, chosen: null });
    const ends = runs.flatMap((run) => [run.curves?.span ?? 0, ...run.all.map((p) => p.end)]);
    const corrected = editor?.segments ?? [];
    const all = [video.seconds ?? 0, ...ends, ...[...this.truth, ...corrected].map((s) => s.end)];
    this.seconds = Math.max(...all);
    this.view.open(this.seconds);
    this.#filterAll();
    this.emit("video");
    this.emit("proposals");
  }

  close() {
    Object.assign(this, { video: null, runs: [], editor: null, truth: [], chosen: null });
    this.emit("video");
  }

  // The length of the video; its curves, whose last cell is a whole one, may end a little later.
  get duration() {
    return Math.min(this.seconds, this.video?.seconds ?? this.seconds);
  }

  /** @param {number} seconds */
  widen(seconds) {
    if (!(seconds > this.seconds + 1e-3)) return;
    this.seconds = seconds;
    this.view.widen(seconds);
    this.emit("length");
  }

  get shownRuns() {
    return this.runs.filter((run) => run.shown);
  }

  // The two runs that are compared: the first two that are switched on.
  get pair() {
    return this.served.filter((run) => run.shown).slice(0, 2);
  }

  get isComparing() {
    return this.runs.length > 1;
  }

  // The visible proposals of all shown runs, by rank.
  get ranking() {
    return this.shownRuns
      .flatMap((run) => run.visible.map((proposal) => ({ run, proposal })))
      .sort((a, b) => a.proposal.rank - b.proposal.rank || a.run.number - b.run.number);
  }

  /** @param {Partial<{ score: number, most: number }>} filter */
  setFilter(filter) {
    Object.assign(this.filter, filter);
    this.refreshProposals();
  }

  refreshProposals() {
    this.#filterAll();
    this.emit("proposals");
  }

  #filterAll() {
    const count = Math.max(this.shownRuns.length, 1);
    const lanes = clip(Math.floor(SHARED / count), FEWEST, LANES);
    for (const run of this.runs) run.filter(this.filter.score, this.filter.most, lanes);
  }

  /** @param {number} number */
  toggleRun(number) {
    const run = this.served[number];
    const isOther = this.video !== null && this.runs !== this.served; // the result of a job
    if (!run || this.served.length < 2 || isOther) return false;
    run.shown = !run.shown;
    this.emit("runs");
    this.refreshProposals();
    return true;
  }

  /**
   * Select a proposal, or none.
   * @param {Run} run
   * @param {Proposal} proposal
   */
  choose(run, proposal) {
    this.chosen = { run, proposal };
    this.editor?.select(-1);
    this.view.reveal(proposal.start, proposal.end);
    this.emit("choice");
  }

  /**
   * Select a segment of the corrections.
   * @param {number} index -1: none
   */
  select(index) {
    this.chosen = null;
    this.editor?.select(index);
    this.emit("choice");
  }

  // The selected segment of the corrections, or undefined.
  get selected() {
    return this.editor?.segments?.[this.editor.selected];
  }

  /** @param {number} seconds */
  inside(seconds) {
    return clip(seconds, 0, this.seconds);
  }
}
