// The corrections as a table, in which times and labels are edited.

/** @import { Segment } from "./types.js" */
/** @import { Actions } from "./actions.js" */
/** @import { Editor } from "./editor.js" */
/** @import { Player } from "./player.js" */
/** @import { Store } from "./store.js" */

import { button, byId, make, press, reveal } from "./dom.js";
import { clock, parseClock } from "./text.js";

const EDGES = /** @type {const} */ (["start", "end"]);

export class CorrectionsTab {
  /** @type {Editor | null} whose rows are shown */
  #filled = null;
  #body = document.createElement("tbody");

  /**
   * @param {Store} store
   * @param {Actions} actions
   * @param {Player} player
   */
  constructor(store, actions, player) {
    this.store = store;
    this.player = player;
    for (const label of store.about.labels) make(byId("labels"), "option", { value: label });
    press("add", () => actions.addHere());
    press("take-truth", () => actions.takeTruth());
    press("take-shown", () => actions.takeVisible());
    press("undo", () => store.editor?.undo());
    press("redo", () => store.editor?.redo());
    press("discard", () => store.editor?.discard());
    store.on(["video", "runs", "edit"], () => this.#fill());
    store.on("choice", () => this.#mark());
  }

  // Focus the label of the selected segment; return false if none is selected.
  focusLabel() {
    const input = this.#body.querySelector(".chosen .label");
    if (input instanceof HTMLInputElement) input.select();
    return input !== null;
  }

  #fill() {
    const { editor, truth, runs } = this.store;
    if (!editor) return;
    const segments = editor.shown, room = byId("segments");
    if (!segments.length) {
      room.replaceChildren(make(null, "p", { className: "soft" }, nothing(this.store)));
      this.#filled = null;
    } else if (this.#filled !== editor || this.#body.rows.length !== segments.length) {
      this.#build(editor, segments);
    }
    segments.forEach((segment, i) => this.#write(i, segment));
    this.#state(editor);
    byId("take-truth").hidden = !truth.length;
    byId("take-shown").hidden = !runs.length;
    this.#mark();
  }

  /** @param {Editor} editor */
  #state(editor) {
    const words = { "": "", saving: "Saving…", saved: "Saved", failed: "Not saved" };
    byId("saved").textContent = words[editor.state];
    byId("saved").classList.toggle("failed", editor.state === "failed");
    button("undo").disabled = !editor.canUndo;
    button("redo").disabled = !editor.canRedo;
    button("discard").disabled = editor.segments === null;
  }

  // Rows are kept while their number stays the same, so that a focused field does not vanish.
  /**
   * @param {Editor} editor
   * @param {Segment[]} segments
   */
  #build(editor, segments) {
    const table = make(null, "table", { className: "editing" });
    make(table, "caption", { className: "hidden" }, "Corrected segments");
    const head = make(make(table, "thead"), "tr");
    for (const name of ["", "start", "end", "label"]) make(head, name ? "th" : "td", {}, name);
    make(head, "td");
    this.#body = make(table, "tbody");
    this.#filled = editor;
    segments.forEach((_, i) => this.#row(editor, i));
    byId("segments").replaceChildren(table);
  }

  /**
   * @param {Editor} editor
   * @param {number} index
   */
  #row(editor, index) {
    const line = make(this.#body, "tr"), number = `segment ${index + 1}`;
    line.addEventListener("focusin", () => editor.chosen.includes(index) || this.store.select(index));
    const head = make(line, "th", { scope: "row" });
    const play = make(head, "button", { type: "button", className: "small rank" }, `${index + 1}`);
    play.setAttribute("aria-label", `Play ${number}`);
    play.addEventListener("click", () => editor.segments && this.player.playOnly(editor.segments[index]));
    for (const edge of EDGES) this.#time(line, editor, index, edge);
    const label = this.#input(line, "label", `Label of ${number}`);
    Object.assign(label, { maxLength: 200, placeholder: "label" });
    label.setAttribute("list", "labels");
    label.addEventListener("change", () => {
      editor.edit(index, { label: label.value.trim() });
      this.#rewrite(editor);
    });
    const doing = make(line, "td", { className: "doing" });
    const remove = make(doing, "button", { type: "button", className: "small" }, "✕");
    remove.setAttribute("aria-label", `Delete ${number}`);
    remove.addEventListener("click", () => editor.remove(index));
  }

  /**
   * @param {HTMLTableRowElement} line
   * @param {string} className
   * @param {string} name
   */
  #input(line, className, name) {
    const input = make(make(line, "td"), "input", { type: "text", className });
    input.setAttribute("aria-label", name);
    input.autocomplete = "off";
    return input;
  }

  /**
   * @param {HTMLTableRowElement} line
   * @param {Editor} editor
   * @param {number} index
   * @param {"start" | "end"} edge
   */
  #time(line, editor, index, edge) {
    const name = edge === "start" ? "Start" : "End";
    const input = this.#input(line, "moment", `${name} of segment ${index + 1}, seconds`);
    input.setAttribute("aria-describedby", "segment-error");
    input.addEventListener("change", () => {
      const fault = this.#faultOf(editor, index, edge, input.value);
      report(input, fault);
      if (fault) return;
      editor.edit(index, { [edge]: parseClock(input.value) });
      this.#rewrite(editor);
    });
    input.addEventListener("blur", () => {
      if (input.getAttribute("aria-invalid") === "true") this.#rewrite(editor);
    });
  }

  /**
   * Return what is wrong with a typed time, or "".
   * @param {Editor} editor
   * @param {number} index
   * @param {"start" | "end"} edge
   * @param {string} text
   */
  #faultOf(editor, index, edge, text) {
    const seconds = parseClock(text), segment = editor.segments?.[index];
    if (Number.isNaN(seconds) || !segment) {
      return `“${text}” is not a time; the ${edge} stays as it was. Write seconds, or minutes as 1:47.0.`;
    }
    const { start, end } = segment;
    if (edge === "start" ? seconds < end : seconds > start) return "";
    return edge === "start"
      ? `The start must be before the end, ${clock(end, 2)}; it stays as it was.`
      : `The end must be after the start, ${clock(start, 2)}; it stays as it was.`;
  }

  // Write all fields: rows may have changed places.
  /** @param {Editor} editor */
  #rewrite(editor) {
    editor.shown.forEach((segment, i) => this.#write(i, segment, null));
  }

  // Write a row except the focused field, so that saving does not disturb typing.
  /**
   * @param {number} index
   * @param {Segment} segment
   * @param {Element | null} [typing]
   */
  #write(index, { start, end, label }, typing = document.activeElement) {
    const values = [clock(start, 2), clock(end, 2), label];
    this.#body.rows[index].querySelectorAll("input").forEach((input, i) => {
      if (input === typing) return;
      if (input.value !== values[i]) input.value = values[i];
      input.removeAttribute("aria-invalid");
    });
  }

  // Mark the selected row, and scroll to it.
  #mark() {
    const { editor } = this.store;
    if (!editor?.shown.length) return;
    const index = editor.draft?.index ?? editor.selected;
    const marked = editor.draft && index < 0 ? editor.shown.length - 1 : index; // a new segment is the last
    const chosen = new Set(editor.chosen).add(marked);
    [...this.#body.rows].forEach((line, i) => {
      line.classList.toggle("chosen", chosen.has(i));
      if (i === marked) reveal(byId("corrections"), line);
    });
  }
}

/**
 * Say what is wrong with an input, below the table.
 * @param {HTMLInputElement} input
 * @param {string} fault "" if nothing is
 */
function report(input, fault) {
  byId("segment-error").textContent = fault;
  if (fault) input.setAttribute("aria-invalid", "true");
  else input.removeAttribute("aria-invalid");
}

/**
 * Say why there are no rows, and how to begin.
 * @param {Store} store
 */
function nothing({ editor, truth, runs }) {
  if (editor?.segments) return "Corrected: this video has no segments.";
  const others = [truth.length && "the ground truth", runs.length && "the proposals"].filter(Boolean);
  const start = others.length ? `, press M, or start from ${others.join(" or ")}` : " or press M";
  return `This video has no corrections. Drag on the track${start}.`;
}
