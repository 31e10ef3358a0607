// Filter of the shown proposals, and settings of Soft-NMS, which apply immediately.

import { byId } from "./text.js";

const FIELDS = ["threshold_short", "threshold_long", "decay", "keep"];
const WAIT = 80; // milliseconds a slider has to rest

export class Settings extends EventTarget {
  #later = 0;
  #asRun;

  constructor(about) {
    super();
    const first = about.runs.find((run) => run.can_suppress);
    this.#asRun = first?.suppression;
    byId("suppression").hidden = !first;
    byId("score").addEventListener("input", () => this.#filtered());
    byId("most").addEventListener("change", () => this.#filtered());
    for (const name of FIELDS) byId(name).addEventListener("input", () => this.#moved());
    byId("as-run").addEventListener("click", () => this.reset());
    if (first) this.#set(this.#asRun);
  }

  get score() {
    return Number(byId("score").value);
  }

  get most() {
    return Number(byId("most").value);
  }

  get #now() {
    return Object.fromEntries(FIELDS.map((name) => [name, Number(byId(name).value)]));
  }

  // The settings if they differ from those of the run, else null.
  get changed() {
    const now = this.#now;
    if (!this.#asRun || now.keep < 1) return null;
    return FIELDS.some((name) => Math.abs(now[name] - this.#asRun[name]) > 1e-9) ? now : null;
  }

  // A slider over the range of scores; long recordings show all proposals.
  openedVideo(runs, seconds) {
    const best = Math.max(...runs.map((run) => run.all[0]?.score ?? 0), 0.01);
    byId("score").max = Math.max(best, 0.01).toFixed(3);
    byId("most").value = seconds > 900 ? "1000000" : byId("most").value;
    this.#tellScore();
  }

  say(state) {
    byId("suppression-state").textContent = state && `· ${state}`;
  }

  reset() {
    this.#set(this.#asRun);
    this.#moved();
  }

  #set(values) {
    for (const name of FIELDS) byId(name).value = values[name];
    this.#tell();
  }

  #tell() {
    for (const name of FIELDS) {
      const output = document.querySelector(`output[for=${name}]`);
      if (output) output.textContent = Number(byId(name).value).toFixed(2);
    }
    byId("as-run").disabled = !this.changed;
  }

  #tellScore() {
    byId("score-value").textContent = this.score.toFixed(2);
  }

  #filtered() {
    this.#tellScore();
    this.dispatchEvent(new Event("filter"));
  }

  #moved() {
    this.#tell();
    clearTimeout(this.#later);
    this.#later = setTimeout(() => this.dispatchEvent(new Event("suppress")), WAIT);
  }
}
