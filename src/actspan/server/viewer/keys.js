// Keyboard shortcuts: one table, for the help and for the event handler.

import { byId, field, make } from "./dom.js";
import { recall, remember } from "./remember.js";

/** @type {[keys: string, description: string, action: string][]} a key with Shift needs Shift */
const KEYS = [
  ["Space", "play or pause", "toggle"],
  ["←", "one second back", "back"], ["→", "one second forward", "on"],
  ["Shift ←", "ten seconds back", "farBack"], ["Shift →", "ten seconds forward", "farOn"],
  [",", "one frame back", "frameBack"], [".", "one frame forward", "frameOn"],
  ["Home", "to the start", "start"], ["End", "to the end", "end"],
  ["[", "previous proposal by rank", "previous"], ["]", "next proposal by rank", "next"],
  ["{", "previous proposal by time", "earlier"], ["}", "next proposal by time", "later"],
  ["Enter", "play the selected proposal or segment alone", "playChosen"],
  ["Escape", "cancel a drag or a mark, play the whole video again, or select nothing", "leave"],
  ["+", "zoom in", "zoomIn"], ["-", "zoom out", "zoomOut"], ["0", "the whole video", "zoomAll"],
  ["N", "next video", "nextVideo"], ["P", "previous video", "previousVideo"],
  ["H", "home: the figures and all videos", "home"], ["V", "compare two runs on one axis, or not", "compare"],
  ["R", "review proposals, or end the review", "review"],
  ["T", "next tIoU of a hit", "tiou"], ["X", "next missed instance", "missed"],
  ["/", "find a video", "find"],
  ["1 – 9", "label the selected segments; without a selection, 1 and 2 switch runs A and B", "digit"],
  ["M", "add a segment at the position; hold it to mark as long as the video plays", "add"],
  ["C", "copy the selected proposal to the corrections", "take"],
  ["I", "move the start of the selected segment here, or start a new one", "setStart"],
  ["O", "move the end of the selected segment here, or end the new one", "setEnd"],
  ["<", "select the previous segment", "earlierSegment"], [">", "select the next segment", "laterSegment"],
  ["Ctrl ←", "move the selected segments one frame back", "moveBack"],
  ["Ctrl →", "move the selected segments one frame forward", "moveOn"],
  ["S", "split the segment at the position", "split"],
  ["J", "join the selected segments, or one with the next", "merge"],
  ["L", "edit the label of the selected segment", "label"],
  ["Delete", "delete the selected segments", "remove"], ["Ctrl A", "select all segments", "selectAll"],
  ["Ctrl C", "copy the selected segments", "copy"], ["Ctrl V", "paste at the position, also in another video", "paste"],
  ["W", "propose in all videos, and train", "work"],
  ["Ctrl Z", "undo", "undo"], ["Ctrl Shift Z", "redo", "redo"], ["?", "this help", "help"],
];

/** @type {Record<string, string>} */
const NAMES = { " ": "Space", ArrowLeft: "←", ArrowRight: "→", Backspace: "Delete", "=": "+", "−": "-" };
const NAMED = new Set(["←", "→", "Home", "End", "Enter", "Delete", "Space", "Escape"]);
const TEXT = "input:not([type=checkbox]):not([type=range]):not([type=radio]), select, textarea";

/** @param {KeyboardEvent} event */
function pressed(event) {
  const key = NAMES[event.key] ?? (event.key.length === 1 ? event.key.toUpperCase() : event.key);
  const isShifted = event.shiftKey && (NAMED.has(key) || event.ctrlKey || event.metaKey);
  return [(event.ctrlKey || event.metaKey) && "Ctrl", isShifted && "Shift", key].filter(Boolean).join(" ");
}

/**
 * Return whether an element uses a key itself.
 * @param {KeyboardEvent} event
 * @param {Element} target
 */
function isTaken({ key }, target) {
  if (document.querySelector("dialog[open]") || target.closest(TEXT)) return true;
  const isSpace = key === " " && target.closest("button, summary, [type=checkbox], [type=radio]");
  const isEnter = key === "Enter" && target.closest("button, a, summary, [role=separator]");
  const isSlid = /^(Arrow|Home|End|Page)/.test(key) && target.closest("[type=range], [type=radio], [role=separator]");
  return Boolean(isSpace || isEnter || isSlid);
}

/**
 * Leave a text field with Enter or Escape, so that the shortcuts work again; Escape restores the
 * text that the field had.
 * @param {KeyboardEvent} event
 * @param {Map<Element, string>} before text of a field when it was entered
 */
function leaveField(event, before) {
  const { target, key } = event;
  if (!(target instanceof HTMLInputElement) || !target.matches(TEXT) || target.closest("dialog")) return false;
  if (key !== "Enter" && key !== "Escape") return false;
  if (key === "Escape" && target.type === "text") target.value = before.get(target) ?? target.value;
  event.preventDefault();
  target.blur();
  byId("overlay").focus({ preventScroll: true }); // a changed field is applied by its change event
  return true;
}

/**
 * Return the name of the action of some keys, or "".
 * @param {string} keys
 * @param {boolean} isSingle whether single characters are shortcuts
 * @param {typeof KEYS} [table]
 */
function actionOf(keys, isSingle, table = KEYS) {
  if (keys.length === 1 && !NAMED.has(keys) && !isSingle) return "";
  const row = table.find(([written]) => written === keys || (written === "1 – 9" && /^[1-9]$/.test(keys)));
  return row?.[2] ?? (keys === "Ctrl Y" ? "redo" : "");
}

/**
 * Keys of a mode, which come before the others while it is on.
 * @typedef {object} Mode
 * @property {string} title
 * @property {typeof KEYS} keys "1 – 9" stands for nine keys
 * @property {() => boolean} isOn
 * @property {Record<string, (key: string) => unknown>} actions
 */

/**
 * Return what a key does in a mode that is on, or undefined.
 * @param {Mode[]} modes
 * @param {string} keys
 * @param {boolean} isSingle
 */
function inMode(modes, keys, isSingle) {
  const mode = modes.find((one) => one.isOn());
  const name = mode && actionOf(keys, isSingle, mode.keys);
  return mode && name ? () => mode.actions[name](keys) : undefined;
}

/**
 * @param {Record<string, (event: KeyboardEvent) => unknown>} actions that return false if they do not apply
 * @param {Mode[]} [modes]
 */
export function listen(actions, modes = []) {
  const single = field("single-keys");
  single.checked = recall("keys") !== "off";
  single.addEventListener("change", () => remember("keys", single.checked ? "on" : "off"));
  /** @type {Map<Element, string>} */
  const before = new Map();
  document.addEventListener("focusin", ({ target }) => {
    if (target instanceof HTMLInputElement) before.set(target, target.value);
  });
  document.addEventListener("keydown", (event) => {
    if (event.altKey || !(event.target instanceof Element)) return;
    if (leaveField(event, before) || isTaken(event, event.target)) return;
    const keys = pressed(event);
    const act = inMode(modes, keys, single.checked) ?? actions[actionOf(keys, single.checked)];
    if (act && act(event) !== false) event.preventDefault();
  });
  releaseFocus();
  writeKeys(KEYS);
  for (const { title, keys } of modes) {
    make(byId("keys"), "h3", {}, title);
    writeKeys(keys);
  }
}

/** @param {typeof KEYS} keys */
function writeKeys(keys) {
  const list = make(byId("keys"), "dl");
  for (const [written, what] of keys) {
    const entry = make(list, "div"), term = make(entry, "dt");
    for (const key of written.split(" ")) make(term, "kbd", {}, key);
    make(entry, "dd", {}, what);
  }
}

// After a click with a pointer, Space plays instead of pressing the same button again.
function releaseFocus() {
  document.addEventListener("click", ({ detail, target }) => {
    if (detail === 0 || !(target instanceof Element)) return;
    const control = target.closest("button, a, [type=checkbox], [type=radio]");
    const { activeElement } = document;
    if (control && control === activeElement && !control.closest("dialog") && activeElement instanceof HTMLElement) {
      activeElement.blur();
    }
  });
}
