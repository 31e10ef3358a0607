// The list of jobs in the dialog, with the losses of trainings.

/** @import { EpochLosses, WorkJob } from "../types.js" */
/** @import { WorkJobs } from "./jobs.js" */

import { byId, drawing, drawn, make } from "../dom.js";
import { stateOf, titleOf } from "./jobs.js";

const WIDTH = 160, HEIGHT = 44; // units of a chart of losses
const RISE = 1.1; // times the lowest held-out loss, from which a rise is reported

// A row is kept while its job changes, so that it keeps the focus.
class Row {
  #isAsked = false; // whether to discard a training
  /** @type {WorkJob | null} */
  #job = null;

  /** @param {(id: string) => void} remove @param {string} id */
  constructor(remove, id) {
    this.item = make(null, "li");
    const line = make(this.item, "div", { className: "job" });
    this.text = make(line, "span");
    this.button = make(line, "button", { type: "button", className: "small", onclick: () => this.#press(remove, id) });
    this.button.addEventListener("blur", () => this.#ask(false));
    this.bar = make(this.item, "progress", { max: 1 });
    this.bar.setAttribute("aria-label", "Progress");
    this.losses = make(this.item, "div", { className: "losses" });
    this.warnings = make(this.item, "p", { className: "soft" });
  }

  // Remove the job; of a training that runs, ask before its epochs are lost.
  /** @param {(id: string) => void} remove @param {string} id */
  #press(remove, id) {
    if (this.#isAsked || this.#job?.kind !== "train" || this.#job.state !== "running") remove(id);
    else this.#ask(true);
  }

  /** @param {boolean} isAsked */
  #ask(isAsked) {
    this.#isAsked = isAsked;
    if (this.#job) this.show(this.#job);
  }

  /** @param {WorkJob} job */
  show(job) {
    const isUnfinished = job.state === "queued" || job.state === "running";
    this.#job = job;
    this.text.textContent = `${titleOf(job)} · ${stateOf(job)}`;
    this.text.className = job.state === "failed" ? "fault" : "";
    this.#isAsked &&= job.state === "running";
    this.button.textContent = this.#isAsked ? "Discard all its epochs" : isUnfinished ? "Cancel" : "Remove";
    this.warnings.textContent = job.status.warnings.map((warning) => `Note: ${warning}.`).join(" ");
    this.button.setAttribute("aria-label", `${this.button.textContent}: ${titleOf(job)}`);
    this.bar.hidden = job.state !== "running";
    this.bar.value = job.progress;
    drawLosses(this.losses, job.status.losses, job.state === "running");
  }
}

export class JobList {
  /** @type {Map<string, Row>} by job */
  #rows = new Map();

  /** @param {WorkJobs} jobs */
  constructor(jobs) {
    this.jobs = jobs;
  }

  draw() {
    const { jobs } = this, ids = new Set(jobs.all.map(({ id }) => id));
    byId("work-jobs-part").hidden = !jobs.all.length;
    for (const [id, row] of this.#rows) {
      if (ids.has(id)) continue;
      row.item.remove();
      this.#rows.delete(id);
    }
    jobs.all.forEach((job, i) => {
      const row = this.#rows.get(job.id) ?? new Row((id) => jobs.remove(id), job.id);
      this.#rows.set(job.id, row);
      row.show(job);
      const room = byId("work-jobs");
      if (room.children[i] !== row.item) room.insertBefore(row.item, room.children[i] ?? null);
    });
  }
}

/**
 * Draw the losses by network: training as a line, validation dashed.
 * @param {HTMLElement} room
 * @param {Record<string, EpochLosses[]>} losses
 * @param {boolean} isRunning
 */
function drawLosses(room, losses, isRunning) {
  room.replaceChildren();
  for (const [net, epochs] of Object.entries(losses)) {
    const figure = make(room, "figure"), last = epochs[epochs.length - 1];
    const chart = drawing(figure, WIDTH, HEIGHT, { "aria-hidden": "true" }); // the caption has the figures
    const series = { training: epochs.map((one) => one.training), validation: epochs.map((one) => one.validation) };
    const values = Object.values(series).flat().filter((value) => value !== null);
    const low = Math.min(...values), high = Math.max(...values);
    for (const [name, line] of Object.entries(series)) {
      drawn(chart, "path", { class: name, d: pathOf(line, low, high) });
    }
    const validation = last.validation === null ? "" : `, held out ${last.validation.toFixed(3)}`;
    make(figure, "figcaption", {}, `${net}, epoch ${last.epoch}: loss ${last.training.toFixed(3)}${validation}`);
    const rise = isRunning ? "" : riseOf(epochs); // a line that comes and goes would move the buttons
    if (rise) make(figure, "figcaption", { className: "fault" }, rise);
  }
}

/**
 * Say if the held-out loss has risen clearly, so that more epochs make the model worse.
 * @param {EpochLosses[]} epochs
 */
function riseOf(epochs) {
  const known = epochs.flatMap(({ epoch, validation }) => (validation === null ? [] : [{ epoch, validation }]));
  if (!known.length) return "";
  const best = known.reduce((least, one) => (one.validation < least.validation ? one : least));
  if (known[known.length - 1].validation <= RISE * best.validation) return "";
  return `The held-out loss was lowest in epoch ${best.epoch} (${best.validation.toFixed(3)}) and has risen since: `
    + "correct more videos, or train fewer epochs.";
}

/**
 * @param {(number | null)[]} line
 * @param {number} low
 * @param {number} high
 */
function pathOf(line, low, high) {
  const across = (WIDTH - 4) / Math.max(line.length - 1, 1), up = (HEIGHT - 4) / (high - low || 1);
  const points = line.flatMap((value, i) => (value === null ? [] : [`${2 + i * across} ${2 + (high - value) * up}`]));
  if (points.length === 1) return `M${points[0]}h2`;
  return points.length ? `M${points.join("L")}` : "";
}
