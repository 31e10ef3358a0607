// The visible proposals as a table, with everything that the timeline shows and allows.

/** @import { Proposal } from "./types.js" */
/** @import { Actions } from "./actions.js" */
/** @import { Run } from "./run.js" */
/** @import { Store } from "./store.js" */

import { byId, make, reveal } from "./dom.js";
import { bestOverlap } from "./segments.js";
import { clock, plural } from "./text.js";

const MOST = 200; // rows

export class ProposalsTab {
  /**
   * @param {Store} store
   * @param {Actions} actions
   */
  constructor(store, actions) {
    this.store = store;
    this.actions = actions;
    store.on(["proposals", "comparison"], () => this.#fill());
    store.on("choice", () => this.#mark(true));
    store.on("edit", () => this.#mark(false));
  }

  #fill() {
    const { store } = this, rows = store.ranking;
    const room = byId("proposal-rows");
    const { pair } = store.comparison, others = store.shownRuns.filter((run) => run !== pair?.a && run !== pair?.b);
    const without = others.reduce((sum, run) => sum + run.visible.length - run.lanes.placed.length, pair?.hidden ?? 0);
    byId("hidden-lanes").textContent = without
      ? `${without} of ${plural(rows.length, "proposal")} are not on the timeline: it has too few lanes.` : "";
    room.replaceChildren();
    if (!rows.length) {
      make(room, "p", { className: "soft" }, this.#reason());
      return;
    }
    const isLabelled = rows.some(({ proposal }) => proposal.label);
    const body = this.#table(room, isLabelled);
    for (const { run, proposal } of rows.slice(0, MOST)) this.#row(body, run, proposal, isLabelled);
    if (rows.length > MOST) {
      make(room, "p", { className: "soft" }, `${rows.length - MOST} more are on the timeline.`);
    }
    this.#mark(false);
  }

  #reason() {
    const { store } = this;
    if (!store.runs.length) return "No run is served. Propose in the videos (W), or serve a run with --results RUN.";
    if (!store.shownRuns.length) return "No run is switched on. Press its name at the top.";
    const isEmpty = store.shownRuns.every((run) => !run.all.length);
    return isEmpty ? "The run has no proposals of this video." : "No proposal has a score this high.";
  }

  /**
   * @param {HTMLElement} room
   * @param {boolean} isLabelled
   */
  #table(room, isLabelled) {
    const { store } = this, table = make(room, "table");
    make(table, "caption", { className: "hidden" }, "Visible proposals");
    const head = make(make(table, "thead"), "tr");
    const columns = ["rank", store.isComparing && "run", "start", "end", "score", store.truth.length && "tIoU",
      isLabelled && "label"];
    for (const name of columns) if (name) make(head, "th", { scope: "col", className: name }, name);
    if (store.editor) make(head, "td");
    return make(table, "tbody");
  }

  /**
   * @param {HTMLTableSectionElement} body
   * @param {Run} run
   * @param {Proposal} p
   * @param {boolean} isLabelled
   */
  #row(body, run, p, isLabelled) {
    const { store, actions } = this, line = make(body, "tr");
    const name = `proposal ${p.rank}${store.isComparing ? ` of ${run.letter}` : ""}`;
    line.dataset.key = keyOf(run, p);
    const rank = make(line, "th", { scope: "row" });
    const play = make(rank, "button", { type: "button", className: "small rank" }, `${p.rank}`);
    play.setAttribute("aria-label", `Play ${name}`);
    play.addEventListener("click", () => actions.playProposal(run, p));
    if (store.isComparing) make(line, "td", { className: `letter ${run.colour}` }, run.letter);
    for (const text of [clock(p.start), clock(p.end), p.score.toFixed(3)]) make(line, "td", {}, text);
    if (store.truth.length) make(line, "td", {}, bestOverlap(p, store.truth).toFixed(2));
    if (isLabelled) make(line, "td", { className: "label-text" }, p.label || "–");
    if (!store.editor) return;
    const cell = make(line, "td", { className: "doing" });
    const take = make(cell, "button", { type: "button", className: "small" }, "+");
    take.title = "Copy to the corrections (C)";
    take.setAttribute("aria-label", `Correct with ${name}`);
    take.addEventListener("click", () => actions.take(p));
  }

  // Mark the selected row.
  /** @param {boolean} isScrolling */
  #mark(isScrolling) {
    const { chosen } = this.store, key = chosen ? keyOf(chosen.run, chosen.proposal) : "";
    for (const line of byId("proposal-rows").querySelectorAll("tr")) {
      const isChosen = line.dataset.key === key && key !== "";
      line.classList.toggle("chosen", isChosen);
      if (isChosen && isScrolling) reveal(byId("proposals"), line);
    }
  }
}

/**
 * @param {Run} run
 * @param {Proposal} proposal
 */
const keyOf = (run, proposal) => `${run.number}/${proposal.rank}`;
