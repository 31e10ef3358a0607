// The tabs beside the video, and how much they contain.

/** @import { Store } from "./store.js" */

import { byId, button } from "./dom.js";
import { recall, remember } from "./remember.js";

const NAMES = ["corrections", "proposals", "review", "settings"];

export class Tabs {
  /** @param {Store} store */
  constructor(store) {
    this.store = store;
    const remembered = recall("tab") ?? "";
    this.show(NAMES.includes(remembered) ? remembered : store.served.length ? "proposals" : "corrections", false);
    for (const name of NAMES) {
      this.#tab(name).addEventListener("click", () => this.show(name));
      this.#tab(name).addEventListener("keydown", (event) => this.#key(event, name));
    }
    store.on(["video", "edit", "proposals"], () => this.#count());
  }

  /** @param {string} name */
  #tab(name) {
    return button(`tab-${name}`);
  }

  /**
   * @param {string} name
   * @param {boolean} [isRemembered]
   */
  show(name, isRemembered = true) {
    for (const other of NAMES) {
      const isShown = other === name;
      this.#tab(other).setAttribute("aria-selected", String(isShown));
      this.#tab(other).tabIndex = isShown ? 0 : -1;
      byId(other).hidden = !isShown;
    }
    this.shown = name;
    if (isRemembered) remember("tab", name);
  }

  /**
   * @param {KeyboardEvent} event
   * @param {string} name
   */
  #key(event, name) {
    const places = NAMES.filter((one) => !this.#tab(one).hidden);
    const now = places.indexOf(name), last = places.length - 1;
    /** @type {Record<string, number>} */
    const targets = {
      ArrowRight: now === last ? 0 : now + 1, ArrowLeft: now === 0 ? last : now - 1, Home: 0, End: last,
    };
    if (!(event.key in targets)) return;
    event.preventDefault();
    event.stopPropagation();
    this.show(places[targets[event.key]]);
    this.#tab(places[targets[event.key]]).focus();
  }

  #count() {
    const { editor, shownRuns } = this.store;
    this.#tab("corrections").hidden = editor === null;
    this.#tab("review").hidden = editor === null || !this.store.served.length;
    if (this.shown && this.#tab(this.shown).hidden) this.show("proposals", false);
    const { runs } = this.store, visible = shownRuns.reduce((sum, run) => sum + run.visible.length, 0);
    const all = shownRuns.reduce((sum, run) => sum + run.all.length, 0);
    const of = visible < all ? ` of ${all.toLocaleString("en")}` : "";
    byId("corrections-number").textContent = editor?.segments ? String(editor.segments.length) : "";
    byId("proposals-number").textContent = runs.length ? `${visible}${of}` : "";
  }
}
