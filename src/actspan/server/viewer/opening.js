// Load videos, results of jobs and other settings of Soft-NMS into the store.

/** @import { Corrected, Job, JobResult, ShownVideo } from "./types.js" */
/** @import { Player } from "./player.js" */
/** @import { Store } from "./store.js" */

import * as api from "./api.js";
import { connection } from "./connection.js";
import { Curves } from "./curves.js";
import { Editor } from "./editor.js";
import { say } from "./messages.js";
import { Run } from "./run.js";
import { ranked } from "./segments.js";

const AGAIN = 400; // milliseconds between two looks at a job

export class Opening {
  /** @type {Map<string, Editor>} by video: undo outlives a visit to another video */
  #editors = new Map();
  #opening = new AbortController();
  /** @type {Map<number, AbortController>} by run */
  #suppressing = new Map();
  /** @type {string | null} address of a file of the user's */
  #blob = null;
  /** @type {Map<string, File>} videos of jobs that were submitted on this page */
  files = new Map();

  /**
   * @param {Store} store
   * @param {Player} player
   * @param {() => void} saved
   */
  constructor(store, player, saved) {
    this.store = store;
    this.player = player;
    this.saved = saved;
  }

  #restart() {
    if (this.#blob) URL.revokeObjectURL(this.#blob);
    this.#blob = null;
    this.#opening.abort();
    for (const one of this.#suppressing.values()) one.abort();
    this.#opening = new AbortController();
    return this.#opening.signal;
  }

  /**
   * Show a video of the library.
   * @param {string} id
   */
  async openVideo(id) {
    const signal = this.#restart();
    const { store } = this, runs = store.served;
    const [video, ...columns] = await Promise.all([
      api.openVideo(id, signal), ...runs.map((run) => proposalsOf(id, run, signal)),
    ]);
    if (runs !== store.served) { // others were added meanwhile
      await this.openVideo(id);
      return;
    }
    runs.forEach((run, r) => {
      run.all = ranked(columns[r]);
      run.curves = this.#curves(video, r);
    });
    this.player.open(0, null);
    store.show(video, runs, this.#editorOf(video));
    this.player.open(store.seconds, video.has_media ? api.mediaUrl(id) : null);
    for (const run of runs) run.curves?.load();
  }

  // Show the runs that the service made meanwhile; what else is shown stays as it is.
  async addRuns() {
    const { store } = this;
    store.serve(await api.about());
    const { video, served } = store, signal = this.#opening.signal;
    if (!video || !store.editor) return; // nothing of the library is shown
    const added = served.filter((run) => !store.runs.includes(run));
    const [changed, ...columns] = await Promise.all([
      api.openVideo(video.id, signal), ...added.map((run) => proposalsOf(video.id, run, signal)),
    ]);
    if (served !== store.served) return; // a later call shows all of them
    added.forEach((run, i) => {
      run.all = ranked(columns[i]);
      run.curves = this.#curves(changed, run.number);
    });
    store.runs = served;
    store.emit("runs");
    store.refreshProposals();
    for (const run of added) run.curves?.load();
  }

  /**
   * Show the result of a job, once it is done.
   * @param {string} id
   * @param {(job: Job) => void} progressed is called while it is not
   */
  async openJob(id, progressed) {
    const signal = this.#restart();
    let job = await api.showJob(id, signal);
    while (job.state === "queued" || job.state === "running") {
      progressed(job);
      await new Promise((done) => { setTimeout(done, AGAIN); });
      job = await api.showJob(id, signal);
    }
    if (job.state === "failed") throw new Error(`${job.name}: ${job.error}`);
    const result = await api.jobResult(id, signal);
    const run = new Run(null, 0);
    run.all = ranked(columnsOf(result));
    const file = this.files.get(id);
    if (file && job.kind === "video") this.#blob = URL.createObjectURL(file);
    const video = {
      id: job.name || id, seconds: result.seconds, subset: "", ground_truth: [],
      has_media: this.#blob !== null, curves: [null], corrections: null,
    };
    this.store.show(video, [run], null);
    this.player.open(this.store.seconds, this.#blob);
  }

  close() {
    this.#restart();
    this.player.open(0, null);
    this.store.close();
  }

  /**
   * @param {ShownVideo} video
   * @param {number} run
   */
  #curves(video, run) {
    const info = video.curves[run];
    if (!info) return null;
    const fetchTile = (/** @type {number} */ level, /** @type {number} */ tile) =>
      api.curveTile(video.id, run, level, tile);
    return new Curves(info, fetchTile, () => this.store.emit("choice"));
  }

  /** @param {ShownVideo} video */
  #editorOf({ id, corrections }) {
    if (!corrections) return null;
    let editor = this.#editors.get(id);
    if (editor) editor.refresh(corrections);
    else {
      editor = new Editor(id, corrections);
      this.#editors.set(id, editor);
      this.#watch(editor);
    }
    return editor;
  }

  /** @param {Editor} editor */
  #watch(editor) {
    editor.addEventListener("change", () => {
      if (editor === this.store.editor) this.store.emit("edit");
      this.reportFailures();
    });
    editor.addEventListener("saved", () => this.saved());
  }

  // Wait until the corrections of a video that were changed here are stored.
  /** @param {string} id */
  async settled(id) {
    await this.#editors.get(id)?.settled();
  }

  /**
   * Show corrections that the service has changed.
   * @param {string} id
   * @param {Corrected} corrected
   */
  adopt(id, corrected) {
    const editor = this.#editors.get(id);
    editor?.refresh(corrected);
    if (editor && editor === this.store.editor) this.store.emit("edit");
  }

  // Say which corrections are not saved; that the service does not answer is one message.
  reportFailures() {
    const failed = this.editors.filter((one) => one.state === "failed");
    const others = failed.filter((one) => !one.hasNoAnswer);
    const remedy = { name: "Save now", act: () => this.saveAll() };
    say("save", others.map((one) => one.message).join(" "), others.some((one) => one.isUnsaved) ? remedy : undefined);
    const waiting = failed.filter((one) => one.hasNoAnswer).map((one) => one.id).join(", ");
    const unsaved = waiting && ` The corrections of ${waiting} are not saved yet: keep this page open.`;
    const message = connection.isLost ? `The service does not answer. Trying again…${unsaved}` : "";
    say("connection", message, { name: "Try now", act: () => connection.tryNow() });
  }

  get editors() {
    return [...this.#editors.values()];
  }

  get isUnsaved() {
    return this.editors.some((editor) => editor.isUnsaved);
  }

  saveAll() {
    for (const editor of this.editors) editor.save();
  }

  /**
   * Apply the settings of Soft-NMS of one run; the others stay as they are.
   * @param {Run} run
   */
  async suppress(run) {
    const { video } = this.store;
    if (!video || !run.canSuppress) return;
    this.#suppressing.get(run.number)?.abort();
    const asking = new AbortController();
    this.#suppressing.set(run.number, asking);
    try {
      run.all = ranked(await proposalsOf(video.id, run, asking.signal));
      say("suppress", "");
      if (this.store.chosen?.run === run) this.store.chosen = null;
      this.store.refreshProposals();
      this.store.emit("suppression");
    } catch (error) {
      if (!api.wasAborted(error)) say("suppress", api.messageOf(error));
    }
  }
}

/**
 * Return the proposals of a run with its settings; those of the run if it kept no candidates of
 * this video, to which settings could be applied.
 * @param {string} id
 * @param {Run} run
 * @param {AbortSignal} signal
 */
async function proposalsOf(id, run, signal) {
  try {
    return await api.proposals(id, run.number, run.settings, signal);
  } catch (error) {
    if (!(error instanceof api.Refused) || error.status !== 409) throw error;
    return api.proposals(id, run.number, null, signal);
  }
}

/** @param {JobResult} result */
function columnsOf({ proposals, detections }) {
  /** @type {Map<string, string>} the best label by segment; detections are best first */
  const best = new Map();
  for (const { segment, label } of detections ?? []) {
    const key = segment.join();
    if (!best.has(key)) best.set(key, label);
  }
  return {
    start: proposals.map((p) => p.segment[0]), end: proposals.map((p) => p.segment[1]),
    score: proposals.map((p) => p.score),
    labels: detections ? proposals.map((p) => best.get(p.segment.join()) ?? "") : null,
  };
}
