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
    const { editor, labels } = this.store, count = editor?.chosen.length ?? 0;
    byId("selection").hidden = !count && !this.editing.hasCopied;
    byId("selection-count").textContent = count ? `${plural(count, "segment")} selected` : "Nothing selected";
    for (const id of ["split", "merge", "copy", "delete"]) button(id).hidden = !count;
    button("paste").hidden = !this.editing.hasCopied;
    byId("label-keys").hidden = !count;
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
