// The bar of the selected segments: what can be done with them, and the labels with their keys.

/** @import { Editing } from "./editing.js" */
/** @import { Store } from "./store.js" */

import { button, byId, make, press } from "./dom.js";
import { plural } from "./text.js";

export class SelectionBar {
  #shown = ""; // labels

  /**
   * @param {Store} store
   * @param {Editing} editing
   */
  constructor(store, editing) {
    this.store = store;
    this.editing = editing;
    press("split", () => editing.split());
    press("merge", () => editing.merge());
    press("copy", () => {
      editing.copy();
      this.#fill();
    });
    press("paste", () => editing.paste());
    press("delete", () => editing.remove());
    store.on(["video", "edit", "choice"], () => this.#fill());
  }

  #fill() {
    const { editor } = this.store, count = editor?.chosen.length ?? 0;
    // Always as high, so that a press on a row does not move the row away from the pointer.
    byId("selection").hidden = !editor?.segments?.length && !this.editing.hasCopied;
    byId("selection-count").textContent = count ? `${plural(count, "segment")} selected` : "Nothing selected";
    this.#list();
    for (const id of ["split", "merge", "copy", "delete"]) button(id).disabled = !count;
    button("paste").disabled = !this.editing.hasCopied;
    for (const chip of byId("label-keys").querySelectorAll("button")) chip.disabled = !count;
  }

  #list() {
    const { labels } = this.store;
    if (this.#shown === labels.list.join("\n")) return;
    this.#shown = labels.list.join("\n");
    byId("label-keys").replaceChildren();
    labels.list.forEach((label, i) => {
      const className = `small label-key ${labels.colour(label)}`;
      const chip = make(byId("label-keys"), "button", { type: "button", className });
      make(chip, "kbd", {}, String(i + 1));
      make(chip, "span", {}, label);
      chip.addEventListener("click", () => this.editing.label(label));
    });
  }
}
