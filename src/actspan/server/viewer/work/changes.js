// Changes from one run to another, in sentences with their intervals.

/** @import { Store } from "../store.js" */

import * as api from "../api.js";
import { byId, choice, fill, make } from "../dom.js";
import { runOptions } from "../run.js";
import { verdicts } from "../verdict.js";

export class Changes {
  #asked = 0; // number of the last request

  /** @param {Store} store */
  constructor(store) {
    this.store = store;
    for (const id of ["changes-a", "changes-b"]) choice(id).addEventListener("change", () => this.#load());
  }

  /**
   * Compare a run with the one before it.
   * @param {number} [run] the newest one unless given
   */
  show(run = this.store.served.length - 1) {
    const { served } = this.store;
    byId("changes-part").hidden = served.length < 2;
    if (served.length < 2) return;
    for (const [id, chosen] of /** @type {const} */ ([["changes-a", Math.max(run - 1, 0)], ["changes-b", run]])) {
      fill(id, runOptions(served));
      choice(id).value = String(chosen);
    }
    this.#load();
  }

  async #load() {
    const room = byId("changes"), asked = this.#asked += 1;
    const [a, b] = ["changes-a", "changes-b"].map((id) => Number(choice(id).value));
    let lines;
    try {
      lines = verdicts(await api.compare(a, b), this.store.served[a], this.store.served[b]);
    } catch (error) {
      lines = [api.messageOf(error)];
    }
    if (asked !== this.#asked) return;
    if (!lines.length) lines = ["Nothing to compare yet: correct a video that both runs have proposals of."];
    room.replaceChildren(...lines.map((line) => make(null, "li", {}, line)));
  }
}
