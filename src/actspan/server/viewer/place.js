// Keep the address of the page up to date with what is shown, and restore that from an address.

/** @import { Address } from "./address.js" */
/** @import { Filters } from "./filters.js" */
/** @import { Player } from "./player.js" */
/** @import { Store } from "./store.js" */

import { readAddress, writeAddress } from "./address.js";

const LATER = 400; // milliseconds; browsers refuse to replace the address too often

export class Place {
  #timer = 0;
  #isReady = false; // whether the page shows what the address names

  /**
   * @param {Store} store
   * @param {Player} player
   * @param {Filters} filters
   */
  constructor(store, player, filters) {
    this.store = store;
    this.player = player;
    this.filters = filters;
    this.comparison = store.comparison;
    this.usualRuns = this.#runs;
    for (const event of ["move", "state"]) player.addEventListener(event, () => this.#later());
    for (const source of [store.view, filters]) source.addEventListener("change", () => this.#later());
    store.on("served", () => { this.usualRuns = this.#runs; });
    store.on(["runs", "comparison"], () => this.#later());
  }

  get #runs() {
    return this.store.served.filter((run) => run.shown).map((run) => run.letter).join("");
  }

  // Apply what an address says about the runs and the list, before the video is opened. An address
  // that was shown before says everything; a new one keeps what is not in it.
  /** @param {Address} address */
  prepare({ runs, axis, filters, isNew }) {
    this.#isReady = false;
    clearTimeout(this.#timer);
    const { served } = this.store, letters = runs ?? (isNew ? this.#runs : this.usualRuns);
    for (const run of served) run.shown = letters.includes(run.letter);
    if (!isNew || Object.keys(filters).length) this.filters.restore(filters);
    this.comparison.isOn = axis === "one" || (axis === undefined && isNew && this.comparison.isOn);
    this.store.emit("runs");
  }

  // Apply what an address says about the video, once it is open.
  /** @param {Address} address */
  restore({ t, from, to }) {
    const { store, player } = this;
    if (store.video) {
      if (from !== undefined && to !== undefined && to > from) {
        if (store.video.seconds === null) store.widen(to); // the file is not opened yet
        store.view.show(from, to);
      }
      if (t !== undefined) {
        player.seconds = Math.max(player.seconds, store.seconds);
        player.goTo(t);
      }
    }
    this.#isReady = true;
    this.write();
  }

  // Wait until nothing changes; during playback the address stays as it is.
  #later() {
    clearTimeout(this.#timer);
    if (!this.#isReady) return;
    this.#timer = setTimeout(() => this.player.isPaused && this.write(), LATER);
  }

  write() {
    const { id, job } = readAddress(), { store, player } = this, { view } = store;
    /** @type {Record<string, string>} */
    const address = {};
    if (id !== undefined) address.id = id;
    else if (job !== undefined) address.job = job;
    if (store.video && player.time > 0) address.t = brief(player.time);
    if (store.video && !view.isWhole) Object.assign(address, { from: brief(view.from), to: brief(view.to) });
    if (this.#runs !== this.usualRuns) address.runs = this.#runs;
    if (this.comparison.isOn) address.axis = "one";
    writeAddress({ ...address, ...this.filters.address });
  }
}

/** @param {number} seconds */
const brief = (seconds) => String(Math.round(seconds * 1000) / 1000);
