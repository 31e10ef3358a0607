// Which proposals are visible, and the settings of Soft-NMS of each run; they apply at once.

/** @import { Suppression } from "./types.js" */
/** @import { Opening } from "./opening.js" */
/** @import { Run } from "./run.js" */
/** @import { Store } from "./store.js" */

import { button, byId, choice, field, make } from "./dom.js";

const FIELDS = /** @type {const} */ (["threshold_short", "threshold_long", "decay", "keep"]);
const WAIT = 80; // milliseconds a slider has to rest
const LONG = 900; // seconds of a recording that shows all proposals

export class SettingsTab {
  #timer = 0;
  /** @type {Run | undefined} whose settings are shown */
  #run;

  /**
   * @param {Store} store
   * @param {Opening} opening
   */
  constructor(store, opening) {
    this.store = store;
    this.opening = opening;
    this.runs = suppressible(store);
    field("score").addEventListener("input", () => store.setFilter({ score: Number(field("score").value) }));
    choice("most").addEventListener("change", () => store.setFilter({ most: Number(choice("most").value) }));
    for (const name of FIELDS) field(name).addEventListener("input", () => this.#moved());
    button("as-run").addEventListener("click", () => this.#reset());
    store.on(["video", "runs"], () => this.#opened());
    store.on("served", () => {
      this.runs = suppressible(store);
      if (!this.#run || !this.runs.includes(this.#run)) [this.#run] = this.runs;
      this.#choices();
      this.#write();
    });
    store.on("proposals", () => this.#writeScore());
    [this.#run] = this.runs;
    this.#choices();
    this.#write();
  }

  // Buttons that choose the run whose settings are shown.
  #choices() {
    const room = byId("suppression-runs");
    room.hidden = this.runs.length < 2;
    room.replaceChildren();
    for (const run of this.runs) {
      const label = make(room, "label", { className: `check ${run.colour}` });
      const radio = make(label, "input", { type: "radio", name: "suppressed-run", checked: run === this.#run });
      make(label, "b", { className: "letter" }, run.letter);
      make(label, "span", {}, run.name);
      radio.addEventListener("change", () => {
        this.#run = run;
        this.#write();
      });
    }
  }

  // A slider over the range of scores; long recordings show all proposals.
  #opened() {
    const { store } = this;
    if (!store.video) return;
    byId("suppression").hidden = !this.runs.length || store.runs !== store.served;
    const best = Math.max(...store.runs.map((run) => run.all[0]?.score ?? 0), 0.01);
    field("score").max = best.toFixed(3);
    if (store.seconds > LONG && store.filter.most === 20) {
      choice("most").value = "1000000";
      store.filter.most = 1_000_000;
      store.refreshProposals();
    }
  }

  #writeScore() {
    byId("score-value").textContent = this.store.filter.score.toFixed(2);
  }

  #reset() {
    if (!this.#run) return;
    this.#run.settings = null;
    this.#write();
    this.#apply(this.#run);
  }

  // Write the settings of the chosen run into the fields.
  #write() {
    const values = this.#run?.suppression;
    if (!values) return;
    for (const name of FIELDS) field(name).value = String(values[name]);
    this.#describe();
  }

  #describe() {
    for (const name of FIELDS) {
      const output = document.querySelector(`output[for=${name}]`);
      if (output) output.textContent = Number(field(name).value).toFixed(2);
    }
    const changed = this.runs.filter((run) => run.settings);
    button("as-run").disabled = !this.#run?.settings;
    const which = this.runs.length > 1 ? ` in ${changed.map((run) => run.letter).join(", ")}` : "";
    byId("suppression-state").textContent = changed.length ? `changed${which}` : "as in the run";
  }

  #moved() {
    const run = this.#run;
    if (!run) return;
    const keep = field("keep"), isValid = keep.checkValidity() && keep.value !== "";
    keep.setAttribute("aria-invalid", String(!isValid));
    byId("keep-error").textContent = isValid
      ? "" : `Keep must be a whole number from ${keep.min} to ${keep.max}; the last valid one is used.`;
    const values = FIELDS.map((name) => [name, Number(field(name).value)]);
    /** @type {Suppression} */
    const settings = Object.fromEntries(values);
    if (!isValid) settings.keep = run.suppression?.keep ?? settings.keep;
    run.suppress(settings);
    this.#describe();
    this.#apply(run);
  }

  /** @param {Run} run */
  #apply(run) {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.opening.suppress(run), WAIT);
  }
}

/** @param {Store} store */
const suppressible = (store) => store.served.filter((run) => run.canSuppress);
