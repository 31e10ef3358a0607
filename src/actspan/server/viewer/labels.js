// Labels that are given by keys, and their colours: those of the set first, then those in use.

/** @import { Store } from "./store.js" */

const MOST = 9; // keys 1 to 9

export class Labels {
  /** @type {Set<string>} also those of videos that were shown before */
  #known;

  /** @param {Store} store */
  constructor(store) {
    this.#known = new Set(store.about.labels);
    store.on(["video", "edit"], () => {
      for (const { label } of store.editor?.segments ?? []) this.learn(label);
    });
  }

  /** @param {string} label */
  learn(label) {
    if (label) this.#known.add(label);
  }

  get list() {
    return [...this.#known].slice(0, MOST);
  }

  /**
   * Return the name of a label's colour; a single label needs none.
   * @param {string} label
   */
  colour(label) {
    const { list } = this, place = list.indexOf(label);
    return list.length > 1 && place >= 0 ? `label${place + 1}` : "corrected";
  }
}
