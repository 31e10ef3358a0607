// What changed from one run to another, in sentences with their intervals.

/** @import { Store } from "../store.js" */

import * as api from "../api.js";
import { byId, choice, make } from "../dom.js";
import { sentenceOf } from "./words.js";

const FIRST = ["held-out", "corrected", "all"]; // the fairest comparison first

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
      choice(id).replaceChildren();
      for (const { number, letter, name } of served) {
        make(choice(id), "option", { value: String(number), selected: number === chosen }, `${letter} ${name}`);
      }
    }
    this.#load();
  }

  async #load() {
    const room = byId("changes"), asked = this.#asked += 1;
    const [a, b] = ["changes-a", "changes-b"].map((id) => Number(choice(id).value));
    let lines;
    try {
      const groups = await api.compare(a, b);
      groups.sort((one, other) => FIRST.indexOf(one.name) - FIRST.indexOf(other.name));
      const [first, second] = [a, b].map((run) => this.store.served[run].name);
      const isTrained = groups.some(({ name }) => name === "held-out");
      lines = groups.map((group) => sentenceOf(group, first, second, isTrained));
    } catch (error) {
      lines = [api.messageOf(error)];
    }
    if (asked !== this.#asked) return;
    if (!lines.length) lines = ["Nothing to compare yet: correct a video that both runs have proposals of."];
    room.replaceChildren(...lines.map((line) => make(null, "li", {}, line)));
  }
}
