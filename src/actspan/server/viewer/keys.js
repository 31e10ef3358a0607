// Keyboard shortcuts: one table, for the help and for the event handler.

import { byId, make } from "./text.js";

// [keys, description, name of the action]; a name with Shift needs Shift.
export const KEYS = [
  ["Space", "play or pause", "toggle"],
  ["←", "one second back", "back"], ["→", "one second forward", "on"],
  ["Shift ←", "ten seconds back", "farBack"], ["Shift →", "ten seconds forward", "farOn"],
  [",", "one cell back", "cellBack"], [".", "one cell forward", "cellOn"],
  ["Home", "to the start", "start"], ["End", "to the end", "end"],
  ["[", "previous proposal", "previous"], ["]", "next proposal", "next"],
  ["Enter", "play the selected proposal or segment", "playChosen"],
  ["+", "zoom in", "zoomIn"], ["-", "zoom out", "zoomOut"], ["0", "the whole video", "zoomAll"],
  ["N", "next video", "nextVideo"], ["P", "previous video", "previousVideo"],
  ["/", "find a video", "find"], ["1", "run A on or off", "run0"], ["2", "run B on or off", "run1"],
  ["M", "add a segment at the position", "add"],
  ["C", "copy the selected proposal to the corrections", "take"],
  ["I", "move the start of the selected segment here", "setStart"],
  ["O", "move the end of the selected segment here", "setEnd"],
  ["L", "edit the label of the selected segment", "label"], ["Delete", "delete the selected segment", "remove"],
  ["Ctrl Z", "undo", "undo"], ["Ctrl Shift Z", "redo", "redo"], ["?", "this help", "help"],
];

const NAMES = { " ": "Space", ArrowLeft: "←", ArrowRight: "→", Backspace: "Delete", "=": "+", "−": "-" };
const NAMED = new Set(["←", "→", "Home", "End", "Enter", "Delete", "Space"]);

function pressed(event) {
  const key = NAMES[event.key] ?? (event.key.length === 1 ? event.key.toUpperCase() : event.key);
  const shift = event.shiftKey && (NAMED.has(key) || event.ctrlKey || event.metaKey);
  return [(event.ctrlKey || event.metaKey) && "Ctrl", shift && "Shift", key].filter(Boolean).join(" ");
}

// Elements that use keys themselves.
function isTaken(event) {
  const { target } = event;
  if (document.querySelector("dialog[open]")) return true;
  const typing = target.closest?.("input:not([type=checkbox]):not([type=range]), select, textarea");
  if (typing) return true;
  const key = event.key;
  const works = target.closest?.("button, a, summary, [type=checkbox]") && (key === " " || key === "Enter");
  const slides = target.closest?.("[type=range]") && /^(Arrow|Home|End|Page)/.test(key);
  return Boolean(works || slides);
}

export function listen(actions) {
  const single = byId("single-keys");
  try {
    single.checked = localStorage.getItem("actspan-keys") !== "off";
  } catch {
    // Storage may be disabled.
  }
  single.addEventListener("change", () => {
    try {
      localStorage.setItem("actspan-keys", single.checked ? "on" : "off");
    } catch {
      // The setting then lasts until the page is closed.
    }
  });
  document.addEventListener("keydown", (event) => {
    if (event.altKey || isTaken(event)) return;
    const keys = pressed(event);
    const found = KEYS.find(([written]) => written === keys)
      ?? (keys === "Ctrl Y" ? ["", "", "redo"] : undefined);
    if (!found || (keys.length === 1 && !NAMED.has(keys) && !single.checked)) return;
    if (actions[found[2]]?.() === false) return;
    event.preventDefault();
  });
  const room = byId("keys");
  const list = make(room, "dl");
  for (const [keys, what] of KEYS) {
    const entry = make(list, "div");
    const term = make(entry, "dt");
    for (const key of keys.split(" ")) make(term, "kbd", {}, key);
    make(entry, "dd", {}, what);
  }
}
