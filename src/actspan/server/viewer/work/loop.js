// The loop over a folder of videos: propose, correct, train, propose again, and see what changed.

/** @import { Opening } from "../opening.js" */
/** @import { Store } from "../store.js" */
/** @import { WorkJob, WorkOverview } from "../types.js" */

import * as api from "../api.js";
import { closable } from "../dialogs.js";
import { button, byId, choice, field, fill, press } from "../dom.js";
import { say } from "../messages.js";
import { plural } from "../text.js";
import { Changes } from "./changes.js";
import { JobList } from "./job_list.js";
import { WorkJobs } from "./jobs.js";
import { Strip } from "./strip.js";

export class Loop {
  /** @type {WorkOverview} */
  #about = { videos: 0, unproposed: 0, annotated: 0, held_out: 0, partly_reviewed: 0, models: {}, presets: [] };
  #dialog = closable("work");

  /**
   * @param {Store} store
   * @param {Opening} opening
   * @param {() => unknown} review starts the review
   */
  constructor(store, opening, review) {
    this.store = store;
    this.opening = opening;
    this.jobs = new WorkJobs((job) => this.#made(job));
    this.list = new JobList(this.jobs);
    this.changes = new Changes(store);
    this.strip = new Strip(store, this.jobs, {
      open: () => this.open(), propose: () => this.#propose("label-free"), compare: (job) => this.#compare(job), review,
    });
    this.jobs.addEventListener("change", () => this.#draw());
    press("open-work", () => this.open());
    byId("work-propose").addEventListener("submit", (event) => {
      event.preventDefault();
      this.#propose(choice("work-model").value);
    });
    field("train-held-out").addEventListener("change", () => this.#show());
    byId("work-train").addEventListener("submit", (event) => {
      event.preventDefault();
      this.#train();
    });
    this.#start();
  }

  async #start() {
    try {
      await this.#read();
      if (this.#about.videos) await this.jobs.refresh();
    } catch (error) {
      say("work", api.messageOf(error));
    }
  }

  // Open the dialog; return false if no videos are served, so that there is nothing to do.
  open() {
    if (!this.#about.videos) return false;
    this.#tell("");
    this.#show();
    this.jobs.refresh();
    this.changes.show();
    this.#dialog.showModal();
    return true;
  }

  /** @param {WorkJob} job */
  #compare(job) {
    const run = this.store.served.find(({ name }) => name === job.result?.run);
    this.open();
    this.changes.show(run?.number);
    byId("changes-title").scrollIntoView();
  }

  #show() {
    return this.#read().catch((error) => this.#tell(api.messageOf(error)));
  }

  get #heldOut() {
    const percent = field("train-held-out").valueAsNumber;
    return Number.isNaN(percent) ? 0 : percent / 100;
  }

  // Read what can be proposed with and trained from.
  async #read() {
    this.#about = await api.workOverview(this.#heldOut, Number(choice("review-top").value));
    const { videos, annotated, models, presets } = this.#about;
    byId("open-work").hidden = !videos;
    fill("work-model", Object.entries(models));
    fill("train-preset", presets.map((name) => [name, name]));
    byId("work-videos").textContent = plural(videos, "video");
    const count = Object.keys(models).length;
    field("train-name").placeholder = `model ${count - Number("served" in models)}`;
    [byId("work-annotated").textContent, byId("work-background").textContent] = learningOf(this.#about);
    button("train-start").disabled = !annotated;
  }

  #draw() {
    this.strip.draw(this.#about);
    this.list.draw();
  }

  // Show the run of a job that is done.
  /** @param {WorkJob} job */
  async #made(job) {
    if (this.store.served.some(({ name }) => name === job.result?.run)) return;
    await this.opening.addRuns();
    await this.#read();
    if (this.#dialog.open) this.changes.show();
  }

  /** @param {string} model */
  #propose(model) {
    return this.#send(api.proposeInAll(model));
  }

  #train() {
    const name = field("train-name").value, preset = choice("train-preset").value;
    const epochs = field("train-epochs").value;
    return this.#send(api.trainModel({
      name, preset, epochs: epochs === "" ? null : Number(epochs), held_out: this.#heldOut,
    }));
  }

  /** @param {Promise<WorkJob>} request */
  async #send(request) {
    try {
      await this.jobs.start(request);
      this.#tell("");
    } catch (error) {
      if (this.#dialog.open) this.#tell(api.messageOf(error));
      else say("work", api.messageOf(error));
    }
  }

  /** @param {string} text */
  #tell(text) {
    byId("work-error").textContent = text;
  }
}

/**
 * Return from what a training would learn, and what it would take as background.
 * @param {WorkOverview} about
 */
function learningOf({ videos, annotated, held_out: heldOut, partly_reviewed: partly }) {
  if (!annotated) return ["Correct some videos first: a model learns from them.", ""];
  const evaluated = heldOut && `, is evaluated on ${plural(heldOut, "held-out one", "held-out ones")}`;
  const learned = `Learns from ${plural(annotated - heldOut, "video")} with corrections or ground truth`;
  const rest = partly && ` ${plural(partly, "video is", "videos are")} only partly reviewed: finish that first.`;
  return [`${learned}${evaluated || ""}, then proposes in all ${videos.toLocaleString("en")}.`,
    `Everything in these videos that is not marked is learned as background.${rest || ""}`];
}
