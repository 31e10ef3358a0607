// Hits and misses above the table of proposals: the tIoU, counts, and all instances as a table.

/** @import { Matched } from "./types.js" */
/** @import { Player } from "./player.js" */
/** @import { Run } from "./run.js" */
/** @import { Store } from "./store.js" */

import { byId, choice, make } from "./dom.js";
import { clocks } from "./text.js";
import { markOf } from "./tracks/hits.js";

const TIOUS = [0.5, 0.6, 0.7, 0.75, 0.8, 0.9, 0.95];

export class HitsPanel {
  /**
   * @param {Store} store
   * @param {Player} player
   */
  constructor(store, player) {
    this.store = store;
    this.player = player;
    for (const tiou of TIOUS) make(choice("tiou"), "option", { value: String(tiou) }, tiou.toFixed(2));
    choice("tiou").addEventListener("change", () => store.hits.setTiou(Number(choice("tiou").value)));
    byId("hit-list").addEventListener("toggle", () => this.#fill());
    store.on(["proposals", "edit", "hits"], () => this.#fill());
  }

  // Take the next tIoU, or the first one after the last.
  nextTiou() {
    const next = TIOUS[(TIOUS.indexOf(this.store.hits.tiou) + 1) % TIOUS.length];
    choice("tiou").value = String(next);
    this.store.hits.setTiou(next);
  }

  // Choose the next missed instance, and go there.
  nextMissed() {
    const missed = this.store.hits.chooseMissed();
    if (missed) this.player.goTo(missed.start);
    return missed !== undefined;
  }

  #fill() {
    const { hits, shownRuns, isComparing } = this.store, { instances } = hits;
    byId("hits").hidden = !instances.length || !shownRuns.length;
    if (byId("hits").hidden) return;
    const counts = byId("hit-counts");
    counts.replaceChildren();
    for (const run of shownRuns) {
      const found = hits.of(run).filter((one) => one.isFound).length, item = make(counts, "li");
      if (isComparing) make(item, "b", { className: `letter ${run.colour}` }, run.letter);
      make(item, "span", { className: "hit" }, `✓ ${found} found`);
      make(item, "span", { className: "miss" }, `✗ ${instances.length - found} missed`);
    }
    this.#list(shownRuns);
  }

  // The table, only while it is open: it is filled again at every change.
  /** @param {Run[]} runs */
  #list(runs) {
    const room = byId("hit-rows");
    room.replaceChildren();
    if (!byId("hit-list").hasAttribute("open")) return;
    const { hits, isComparing } = this.store, table = make(room, "table");
    make(table, "caption", { className: "hidden" }, "Instances and their best proposals");
    const head = make(make(table, "thead"), "tr");
    for (const name of ["instance", "label", ...runs.map((run) => (isComparing ? `best of ${run.letter}` : "best"))]) {
      make(head, "th", { scope: "col" }, name);
    }
    const body = make(table, "tbody");
    hits.instances.forEach((instance, i) => {
      const line = make(body, "tr");
      this.#button(make(line, "th", { scope: "row" }), clocks(instance), `Play instance ${clocks(instance)}`,
        () => this.player.playOnly(instance));
      make(line, "td", { className: "label-text" }, instance.label || "–");
      for (const run of runs) this.#best(make(line, "td"), run, hits.of(run)[i]);
    });
  }

  /**
   * @param {HTMLElement} cell
   * @param {Run} run
   * @param {Matched} matched
   */
  #best(cell, run, matched) {
    const mark = `${markOf(matched)} `, { best, tiou, isFound } = matched;
    const word = isFound ? "Found" : "Missed";
    const made = make(cell, "span", { className: isFound ? "hit" : "miss" }, best ? "" : mark);
    if (!best) return;
    const value = tiou.toFixed(2), name = `${word}: best proposal ${best.rank}, tIoU ${value}`;
    this.#button(made, `${mark}#${best.rank} ${value}`, name, () => {
      this.store.hits.choose(run, matched);
      this.player.playOnly(best);
    });
  }

  /**
   * @param {HTMLElement} parent
   * @param {string} text
   * @param {string} name
   * @param {() => void} act
   */
  #button(parent, text, name, act) {
    const made = make(parent, "button", { type: "button", className: "small quiet" }, text);
    made.setAttribute("aria-label", name);
    made.addEventListener("click", act);
  }
}
