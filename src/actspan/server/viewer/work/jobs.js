// The jobs on the served videos, followed while one is unfinished; they outlive the page.

/** @import { WorkJob } from "../types.js" */

import * as api from "../api.js";
import { connection } from "../connection.js";
import { say } from "../messages.js";
import { plural } from "../text.js";

const AGAIN = 700; // milliseconds between two looks at unfinished jobs

/** Events: "change". */
export class WorkJobs extends EventTarget {
  /** @type {WorkJob[]} newest first */
  all = [];
  /** @type {WorkJob | null} the last one that ended while the page was open */
  ended = null;
  /** @type {Set<string> | null} ids of those that have ended; null before the first answer */
  #ended = null;
  #timer = 0;

  /** @param {(job: WorkJob) => Promise<void>} made is called with every job that made a run meanwhile */
  constructor(made) {
    super();
    this.made = made;
    connection.addEventListener("back", () => this.refresh());
  }

  // The job that runs, or the one that runs next.
  get current() {
    return this.all.find(({ state }) => state === "running") ?? this.all.findLast(({ state }) => state === "queued");
  }

  async refresh() {
    clearTimeout(this.#timer);
    try {
      this.all = await api.listWork();
      say("work", "");
      await this.#note();
    } catch (error) {
      if (error instanceof api.Refused && error.status === 0) return; // asked again when it answers
      say("work", api.messageOf(error));
    }
    clearTimeout(this.#timer);
    if (this.current) this.#timer = setTimeout(() => this.refresh(), AGAIN);
    this.dispatchEvent(new Event("change"));
  }

  // Note which jobs have ended since the last look.
  async #note() {
    const before = this.#ended, ended = this.all.filter(({ state }) => state === "done" || state === "failed");
    this.#ended = new Set(ended.map(({ id }) => id));
    for (const job of ended.reverse()) {
      if (before && !before.has(job.id)) this.ended = job;
      if (job.state === "done" && !before?.has(job.id)) await this.made(job);
    }
  }

  /**
   * Send a request that starts a job.
   * @param {Promise<WorkJob>} request
   */
  async start(request) {
    const job = await request;
    this.ended = null;
    await this.refresh();
    return job;
  }

  /**
   * Cancel an unfinished job, or remove a finished one from the list.
   * @param {string} id
   */
  async remove(id) {
    try {
      await api.removeWork(id);
    } catch (error) {
      say("work", api.messageOf(error));
    }
    if (this.ended?.id === id) this.ended = null;
    await this.refresh();
  }

  dismiss() {
    this.ended = null;
    this.dispatchEvent(new Event("change"));
  }
}

/** Words for the steps of a job, and the unit of their counts. @type {Record<string, [name: string, unit: string]>} */
const STEPS = {
  opening: ["opening the videos", ""], "seconds of video": ["reading the videos", " s"],
  check: ["checking the features", ""], propose: ["proposing", " videos"],
  "reading training": ["reading features to learn from", ""], "reading validation": ["reading held-out features", ""],
  "training TEM": ["training boundaries (TEM)", ""], "training PEM": ["training scores (PEM)", ""],
  "training BSN": ["training boundaries and scores (TEM and PEM)", ""],
  "training BMN": ["training boundaries and scores (BMN)", ""],
  evaluating: ["evaluating on held-out videos", ""],
};

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
  const { step, done, total } = status, [name, unit] = STEPS[step] ?? [step, ""];
  const count = total ? `, ${done.toLocaleString("en")} of ${total.toLocaleString("en")}${unit}` : "";
  return `${Math.floor(100 * progress)} %${name && ` · ${name}`}${count}`;
}

/** @param {Record<string, string>} skipped reasons by video */
function skippedOf(skipped) {
  const reasons = Object.entries(skipped).map(([id, reason]) => `${id} (${reason})`);
  return reasons.length ? `; ${plural(reasons.length, "video")} skipped: ${reasons.join(", ")}` : "";
}
