// The home page: the figures of the runs, and all videos.

/** @import { PerVideo, RunFigures } from "./types.js" */
/** @import { List } from "./list.js" */
/** @import { Run } from "./run.js" */
/** @import { Store } from "./store.js" */

import { goTo } from "./address.js";
import * as api from "./api.js";
import { Cards } from "./cards.js";
import { histogram, scatter } from "./charts.js";
import { byId, make } from "./dom.js";
import { say } from "./messages.js";
import { ownNote, verdicts } from "./verdict.js";

export class Home {
  #figures = byId("figures");
  #charts = byId("charts");
  /** @type {PerVideo | null} */
  #perVideo = null;
  #isStale = false; // whether the figures have to be loaded once the list is complete
  #asked = 0; // times that the figures were requested

  /**
   * @param {Store} store
   * @param {List} list
   */
  constructor(store, list) {
    this.store = store;
    this.list = list;
    this.cards = new Cards(store, list);
    list.addEventListener("change", () => this.#listed());
    list.filters.addEventListener("change", () => this.#draw());
    store.on(["runs", "served"], () => this.isShown && this.#load());
  }

  get isEvaluated() {
    return Boolean(this.store.about.ground_truth) && this.store.served.length > 0;
  }

  get isShown() {
    return !byId("home").hidden;
  }

  // Show the page; the filters move between it and the list beside the workspace.
  show() {
    byId("home").hidden = false;
    byId("empty").hidden = true;
    document.body.classList.add("at-home");
    byId("home-filter").append(byId("filter"), byId("count"));
    this.cards.draw();
    this.#load();
  }

  leave() {
    if (!this.isShown) return;
    byId("home").hidden = true;
    document.body.classList.remove("at-home");
    byId("list").before(byId("filter"), byId("count"));
  }

  // Load the figures again once all videos are evaluated, or the service answers again.
  #listed() {
    this.#isStale ||= this.list.isEvaluating;
    if (this.#isStale && !this.list.isEvaluating && this.isShown) this.#load();
  }

  async #load() {
    const number = (this.#asked += 1), [a, b] = this.store.pair;
    this.#isStale = this.list.isEvaluating;
    this.cards.draw();
    try {
      const [figures, perVideo] = await Promise.all([api.figures(), api.perVideo()]);
      if (number !== this.#asked) return;
      say("home", "");
      this.#perVideo = perVideo;
      this.#table(figures, []);
      this.#draw();
      if (!a || !b || !perVideo.ids.length) return;
      const groups = await api.compare(a.number, b.number);
      if (number === this.#asked) this.#table(figures, verdicts(groups, a, b));
    } catch (error) {
      this.#isStale = true;
      if (error instanceof api.Refused && error.status === 0) return; // the connection reports it
      say("home", api.messageOf(error));
    }
  }

  /**
   * @param {(RunFigures | null)[]} all by run
   * @param {string[]} sentences
   */
  #table(all, sentences) {
    this.#figures.replaceChildren();
    const known = all.find((one) => one !== null);
    if (!known) return;
    for (const sentence of sentences) make(this.#figures, "p", { className: "verdict" }, sentence);
    const room = make(this.#figures, "div", { className: "table", tabIndex: 0, role: "group" });
    room.setAttribute("aria-label", "Figures of the runs"); // it scrolls on a phone
    const table = make(room, "table");
    make(table, "caption", { className: "hidden" }, "Figures of the runs, percent");
    const head = make(make(table, "thead"), "tr");
    const names = Object.keys(known.figures).sort((x, y) => Number(y === "AUC") - Number(x === "AUC"));
    for (const name of ["run", ...names, "missed", "instances", "videos"]) make(head, "th", { scope: "col" }, name);
    const body = make(table, "tbody");
    all.forEach((one, r) => this.#row(body, this.store.served[r], one, names));
    const notes = all.flatMap((one, r) => (one && ownNote(one, this.store.served[r])) || []);
    for (const note of notes) make(this.#figures, "p", { className: "verdict" }, note);
  }

  /**
   * @param {HTMLElement} body
   * @param {Run} run
   * @param {RunFigures | null} figures
   * @param {string[]} names
   */
  #row(body, run, figures, names) {
    const line = make(body, "tr"), name = make(line, "th", { scope: "row" });
    make(name, "b", { className: `letter ${run.colour}` }, run.letter);
    name.append(` ${run.name}`);
    const mark = figures?.own ? "*" : "";
    for (const one of names) make(line, "td", {}, figures ? `${figures.figures[one].toFixed(1)}${mark}` : "–");
    for (const count of [figures?.missed, figures?.instances, figures?.videos]) {
      make(line, "td", {}, count?.toLocaleString("en") ?? "–");
    }
  }

  // Draw the charts, and the fields that select the same by keyboard.
  #draw() {
    const found = this.#perVideo, { pair } = this.store, { filters } = this.list;
    if (!this.isShown || !found) return;
    const focused = document.activeElement?.id ?? "";
    this.#charts.replaceChildren();
    if (!found.ids.length) return;
    const [a, b] = pair, select = filters.setAuc.bind(filters);
    const bars = make(this.#charts, "div", { className: "histograms" });
    make(bars, "h2", {}, "AUC per video");
    for (const run of pair) {
      histogram(bars, run, found.auc[run.number], filters.auc.get(run.number), select);
      this.#fields(bars, run);
    }
    if (b) scatter(this.#charts, [a, b], found, filters.auc, { select, open: (id) => goTo({ id }) });
    if (focused.startsWith("auc-")) document.getElementById(focused)?.focus();
  }

  /**
   * @param {HTMLElement} room
   * @param {Run} run
   */
  #fields(room, run) {
    const { filters } = this.list, range = filters.auc.get(run.number) ?? [0, 100];
    const line = make(room, "p", { className: "range-fields" });
    const fields = range.map((value, i) => {
      const edge = i ? "to" : "from";
      make(line, "label", { htmlFor: `auc-${run.number}-${edge}`, className: "soft" }, edge)
        .setAttribute("aria-label", `AUC of ${run.letter} ${edge}`);
      const field = make(line, "input", {
        type: "number", min: "0", max: "100", step: "any", id: `auc-${run.number}-${edge}`, value: String(value),
      });
      field.setAttribute("aria-label", `AUC of ${run.letter} ${edge}, percent`);
      return field;
    });
    line.addEventListener("change", () => {
      const [low, high] = fields.map((field) => field.valueAsNumber);
      if (low >= 0 && high <= 100) filters.setAuc([[run.number, low, Math.max(low, high)]]);
    });
  }
}
