// One line above the workspace: the next step of the loop, the running job, or how the last one ended.

/** @import { Store } from "../store.js" */
/** @import { WorkJob, WorkOverview } from "../types.js" */
/** @import { WorkJobs } from "./jobs.js" */

import { byId, make } from "../dom.js";
import { plural } from "../text.js";
import { stateOf, titleOf } from "./jobs.js";

/** Buttons of the line: [name, action]. @typedef {[name: string, act: () => unknown][]} Offers */

export class Strip {
  #line = byId("work-line");
  #text = make(this.#line, "span");
  #bar = make(this.#line, "progress", { max: 1 });
  #buttons = make(this.#line, "span", { className: "tools" });
  #offered = ""; // names of the buttons; they are made again only if these change

  /**
   * @param {Store} store
   * @param {WorkJobs} jobs
   * @param {Record<"open" | "propose" | "review", () => unknown> & { compare: (job: WorkJob) => void }} actions
   */
  constructor(store, jobs, actions) {
    this.store = store;
    this.jobs = jobs;
    this.actions = actions;
    this.#bar.setAttribute("aria-label", "Progress of the job");
  }

  /** @param {WorkOverview} about */
  draw(about) {
    const { current, ended } = this.jobs;
    this.#bar.hidden = current?.state !== "running";
    if (current) this.#running(current);
    else if (ended) this.#ended(ended, Object.keys(about.models).length);
    else if (this.store.served.length && about.unproposed) {
      this.#show(`${plural(about.unproposed, "video")} without proposals.`, [["Propose…", this.actions.open]]);
    } else if (!this.store.served.length && about.videos) {
      const name = `Propose in ${about.videos === 1 ? "it" : `all ${about.videos.toLocaleString("en")}`}`;
      this.#show(`${plural(about.videos, "video")}, no proposals yet.`, [[name, this.actions.propose]]);
    } else this.#show("", []);
  }

  /** @param {WorkJob} job */
  #running(job) {
    this.#bar.value = job.progress;
    const waiting = this.jobs.all.filter(({ state }) => state === "queued").length;
    const others = waiting && job.state === "running" ? ` · ${plural(waiting, "other job")} waiting` : "";
    this.#show(`${titleOf(job)} · ${stateOf(job)}${others}`, [["Details", this.actions.open]]);
  }

  /**
   * @param {WorkJob} job
   * @param {number} models
   */
  #ended(job, models) {
    /** @type {Offers} */
    const offers = [["Dismiss", () => this.jobs.dismiss()]];
    let advice = job.status.warnings.map((warning) => ` Note: ${warning}.`).join("");
    if (job.state === "failed") offers.unshift(["Details", this.actions.open]);
    else if (job.kind === "train" || this.store.served.length > 1) {
      offers.unshift(["What changed", () => this.actions.compare(job)]);
    } else if (models === 1) {
      advice += " Review its proposals (R), or correct some videos; then train a model from them.";
      offers.unshift(["Review", this.actions.review], ["Train…", this.actions.open]);
    }
    this.#show(`${titleOf(job)} · ${stateOf(job)}.${advice}`, offers);
  }

  /**
   * @param {string} text
   * @param {Offers} offers
   */
  #show(text, offers) {
    this.#line.hidden = !text;
    this.#text.textContent = text;
    const offered = offers.map(([name]) => name).join();
    if (offered === this.#offered) return;
    this.#offered = offered;
    this.#buttons.replaceChildren();
    for (const [name, act] of offers) {
      make(this.#buttons, "button", { type: "button", className: "small", onclick: () => act() }, name);
    }
  }
}
