// Messages that the user has to see: one line each at the top, until its cause is gone.

import { byId, make } from "./dom.js";

/**
 * Show a message, or remove it if it is empty.
 * @param {string} cause one message per cause
 * @param {string} text
 * @param {{ name: string, act: () => void }} [remedy] a button
 */
export function say(cause, text, remedy) {
  const room = byId("messages");
  const before = room.querySelector(`[data-cause="${cause}"]`);
  if (before?.firstChild?.textContent === text) return;
  before?.remove();
  if (!text) return;
  const line = make(room, "p", { className: "message" });
  line.dataset.cause = cause;
  make(line, "span", {}, text);
  if (remedy) make(line, "button", { type: "button", className: "small", onclick: remedy.act }, remedy.name);
  else make(line, "button", { type: "button", className: "small", onclick: () => line.remove() }, "Dismiss");
}
