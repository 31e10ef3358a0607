// The list of jobs in the dialog. A row is kept while its job changes, so that it keeps the focus.

/** @import { WorkJob } from "../types.js" */
/** @import { WorkJobs } from "./jobs.js" */

import { byId, make } from "../dom.js";
import { drawLosses } from "./losses.js";
import { stateOf, titleOf } from "./words.js";

class Row {
  /** @param {(id: string) => void} remove @param {string} id */
  constructor(remove, id) {
    this.item = make(null, "li");
    const line = make(this.item, "div", { className: "job" });
    this.text = make(line, "span");
    this.button = make(line, "button", { type: "button", className: "small", onclick: () => remove(id) });
    this.bar = make(this.item, "progress", { max: 1 });
    this.bar.setAttribute("aria-label", "Progress");
    this.losses = make(this.item, "div", { className: "losses" });
  }

  /** @param {WorkJob} job */
  show(job) {
    const isUnfinished = job.state === "queued" || job.state === "running";
    this.text.textContent = `${titleOf(job)} · ${stateOf(job)}`;
    this.text.className = job.state === "failed" ? "fault" : "";
    this.button.textContent = isUnfinished ? "Cancel" : "Remove";
    this.button.setAttribute("aria-label", `${this.button.textContent}: ${titleOf(job)}`);
    this.bar.hidden = job.state !== "running";
    this.bar.value = job.progress;
    drawLosses(this.losses, job.status.losses);
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
