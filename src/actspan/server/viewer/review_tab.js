// The tab and the keys of the review: what is reviewed, progress, and buttons for all that keys do.

/** @import { Mode } from "./keys.js" */
/** @import { Pointer } from "./pointer.js" */
/** @import { Review } from "./review.js" */
/** @import { Store } from "./store.js" */
/** @import { Tabs } from "./tabs.js" */

import { button, byId, choice, element, field, fill, make, press } from "./dom.js";
import { recall, remember } from "./remember.js";
import { runOptions } from "./run.js";
import { clocks, dotted, signed } from "./text.js";

const CHOICES = ["review-run", "review-order", "review-scope", "review-top"];
const EDGES = /** @type {const} */ ([["start", "Start", "[", "]", "I"], ["end", "End", "{", "}", "O"]]);

export class ReviewTab {
  /**
   * @param {Store} store
   * @param {Review} review
   * @param {Tabs} tabs
   */
  constructor(store, review, tabs) {
    this.store = store;
    this.review = review;
    this.tabs = tabs;
    this.#choices();
    this.#buttons();
    field("review-label").addEventListener("keydown", (event) => event.key === "Enter" && this.#acceptNew());
    store.on("served", () => {
      this.#offerRuns();
      this.#choose();
    });
    review.addEventListener("change", () => this.#write());
    review.decisions.addEventListener("change", () => this.#writeSaved());
    this.#write();
  }

  // Show the tab, and start or end the review.
  toggle() {
    if (this.review.isOn) this.review.leave();
    else {
      this.tabs.show("review");
      this.review.start();
    }
  }

  /** @param {number} number of a label, from 1 */
  acceptWith(number) {
    const label = this.store.labels.list[number - 1];
    if (label !== undefined) this.review.decide("accepted", label);
    else this.review.refuse(`No label has the number ${number}; L types another one.`);
  }

  focusLabel() {
    this.tabs.show("review");
    field("review-label").select();
  }

  #acceptNew() {
    const input = field("review-label"), label = input.value.trim();
    if (!label) return;
    this.store.labels.learn(label);
    input.value = "";
    this.review.decide("accepted", label);
  }

  #choices() {
    this.#offerRuns();
    for (const id of CHOICES) {
      const before = recall(id), one = choice(id);
      if (before !== null && [...one.options].some((option) => option.value === before)) one.value = before;
      one.addEventListener("change", () => {
        remember(id, one.value);
        this.#choose();
      });
    }
    this.#choose();
  }

  #offerRuns() {
    const { served } = this.store;
    fill("review-run", runOptions(served));
    byId("review-run-field").hidden = served.length < 2;
  }

  #choose() {
    const [run, order, scope, top] = CHOICES.map((id) => choice(id).value);
    this.review.query = { run: Number(run), order, top: Number(top) };
    this.review.isOneVideo = scope === "one";
  }

  #buttons() {
    const { review } = this;
    press("review-start", () => this.toggle());
    press("review-undo", () => review.undo());
    press("review-redo", () => review.redo());
    press("review-accept", () => review.decide("accepted"));
    press("review-reject", () => review.decide("rejected"));
    press("review-later", () => review.later());
    for (const [edge, name, back, on, here] of EDGES) {
      const line = make(byId("review-edges"), "div", { className: "tools" });
      make(line, "span", {}, name);
      const keys = /** @type {[string, string, () => void][]} */ ([
        ["one frame back", back, () => review.step(edge, -1)], ["one frame forward", on, () => review.step(edge, 1)],
        ["here", here, () => review.setEdge(edge)],
      ]);
      for (const [what, key, act] of keys) {
        const made = make(line, "button", { type: "button", className: "small" });
        made.setAttribute("aria-label", `${name} ${what}`);
        made.append({ [back]: "−1", [on]: "+1", [here]: "Here" }[key] ?? "");
        make(made, "kbd", {}, key);
        made.addEventListener("click", act);
      }
    }
  }

  #write() {
    const { review } = this, { counts, isOn } = review;
    const done = counts.accepted + counts.edited + counts.rejected, total = done + counts.open;
    byId("review-start").textContent = isOn ? "End review" : "Start review";
    byId("review-start").classList.toggle("primary", !isOn);
    button("review-undo").disabled = !review.canUndo;
    button("review-redo").disabled = !review.canRedo;
    element("review-bar", HTMLProgressElement).value = total ? done / total : 0;
    const text = `${done} of ${total}, ${counts.accepted + counts.edited} accepted`;
    byId("review-count").textContent = isOn ? text : "";
    byId("review-progress").hidden = !isOn;
    byId("review-choices").hidden = isOn;
    byId("review-note").textContent = this.#note();
    byId("review-fault").textContent = review.fault;
    this.#item();
  }

  #note() {
    const { review } = this;
    if (!review.isOn) return "Each proposal is played again and again with a second before and after it. "
      + "A accepts it, X rejects it, a digit accepts it with a label.";
    if (review.isDone) return "Everything is reviewed.";
    return review.shown ? `The best ${review.query.top} proposals of ${this.#scope()}.` : "Loading…";
  }

  #scope() {
    return this.review.isOneVideo ? "this video" : "each video";
  }

  #item() {
    const { shown } = this.review;
    if (!shown) {
      if (byId("review-item").contains(document.activeElement)) byId("overlay").focus({ preventScroll: true });
      byId("review-item").hidden = true;
      return;
    }
    const { item, segment } = shown;
    byId("review-item").hidden = false;
    byId("review-span").textContent = clocks(segment, 2);
    const changes = [change("start", segment.start - item.start), change("end", segment.end - item.end)];
    byId("review-change").textContent = changes.filter(Boolean).join(", ");
    byId("review-facts").textContent = dotted(`#${item.rank + 1}`, `score ${item.score.toFixed(3)}`, item.label);
    this.store.labels.learn(item.label);
    this.#writeLabels(segment.label);
  }

  /** @param {string} now */
  #writeLabels(now) {
    const room = byId("review-labels"), labels = this.store.labels.list;
    const key = [now, ...labels].join("\n");
    if (room.dataset.key === key) return; // a focused button stays
    room.dataset.key = key;
    room.replaceChildren();
    labels.forEach((label, i) => {
      const made = make(room, "button", { type: "button", className: "small" }, `${label} `);
      make(made, "kbd", {}, String(i + 1));
      made.classList.toggle("current", label === now);
      made.addEventListener("click", () => this.acceptWith(i + 1));
    });
  }

  #writeSaved() {
    byId("review-saved").textContent = this.review.decisions.isUnsaved ? "Saving…" : "Saved";
  }
}

/**
 * @param {string} edge
 * @param {number} by seconds
 */
const change = (edge, by) => (Math.abs(by) < 1e-9 ? "" : `${edge} ${signed(by, 2)} s`);

/** @type {[keys: string, description: string, action: string][]} */
const REVIEW_KEYS = [
  ["A", "accept", "accept"], ["Enter", "accept", "accept"], ["X", "reject", "reject"],
  ["1 – 9", "accept with the label of this number", "label"], ["L", "accept with another label", "other"],
  ["S", "decide later", "later"],
  ["[", "start one frame back", "startBack"], ["]", "start one frame forward", "startOn"],
  ["{", "end one frame back", "endBack"], ["}", "end one frame forward", "endOn"],
  ["I", "start here", "setStart"], ["O", "end here", "setEnd"],
  ["Ctrl Z", "undo a move or a decision", "undo"], ["Ctrl Shift Z", "redo a decision", "redo"],
  ["Escape", "cancel a drag, or end the review", "leave"],
];

/**
 * Return the keys of the review; they come before the others while proposals are reviewed.
 * @param {Review} review
 * @param {ReviewTab} tab
 * @param {Pointer} pointer
 * @returns {Mode}
 */
export const reviewKeys = (review, tab, pointer) => ({
  title: "While proposals are reviewed", keys: REVIEW_KEYS, isOn: () => review.isOn,
  actions: {
    accept: () => review.decide("accepted"), reject: () => review.decide("rejected"), later: () => review.later(),
    label: (key) => tab.acceptWith(Number(key)), other: () => tab.focusLabel(),
    startBack: () => review.step("start", -1), startOn: () => review.step("start", 1),
    endBack: () => review.step("end", -1), endOn: () => review.step("end", 1),
    setStart: () => review.setEdge("start"), setEnd: () => review.setEdge("end"),
    undo: () => review.undo(), redo: () => review.redo(),
    leave: () => { if (!pointer.cancel()) review.leave(); },
  },
});
