// Proposals and corrections as tables, with everything that the canvas shows and allows.

import { clock, LETTERS, make, overlap, parseClock } from "./text.js";

const MOST = 200; // rows of proposals

function table(room, caption, header) {
  const made = make(null, "table");
  make(made, "caption", { className: "hidden" }, caption);
  const head = make(make(made, "thead"), "tr");
  for (const cell of header) make(head, cell ? "th" : "td", cell ? { scope: "col" } : {}, cell);
  room.replaceChildren(made);
  return make(made, "tbody");
}

const SIGNS = { Play: "▶", Take: "+", Delete: "✕" }; // where there is no room for words

const small = (parent, name, label, text, pressed) => {
  const button = make(parent, "button", { type: "button", className: "small", onclick: pressed }, text);
  button.dataset.sign = SIGNS[text];
  button.setAttribute("aria-label", `${name} ${label}`);
  return button;
};

export function proposalTable(room, runs, truth, chosen, { playOnly, take }) {
  const shown = runs.filter((run) => run.shown);
  const several = runs.length > 1;
  const rows = shown.flatMap((run) => run.visible.map((p) => ({ run, ...p })));
  if (!rows.length) {
    room.replaceChildren(make(null, "p", { className: "soft" }, runs.length ? "No proposal has a score this high." : "No run is served."));
    return;
  }
  if (several) rows.sort((a, b) => a.rank - b.rank);
  const labelled = rows.some((p) => p.label);
  const header = ["rank", ...(several ? ["run"] : []), "start", "end", "score", ...(truth.length ? ["tIoU"] : []), ...(labelled ? ["label"] : []), ""];
  const body = table(room, "Visible proposals", header);
  for (const p of rows.slice(0, MOST)) {
    const line = make(body, "tr");
    if (chosen && chosen.run === p.run && chosen.rank === p.rank) line.className = "chosen";
    make(line, "th", { scope: "row" }, `${p.rank}`);
    if (several) make(line, "td", { className: `letter run${p.run.colour}` }, LETTERS[p.run.number]);
    for (const text of [clock(p.start, 2), clock(p.end, 2), p.score.toFixed(3)]) make(line, "td", {}, text);
    if (truth.length) make(line, "td", {}, Math.max(...truth.map((t) => overlap(p, t))).toFixed(2));
    if (labelled) make(line, "td", {}, p.label || "–");
    const cell = make(line, "td", { className: "doing" });
    const name = `proposal ${p.rank}${several ? ` of ${LETTERS[p.run.number]}` : ""}`;
    small(cell, "Play", name, "Play", () => playOnly(p.run, p));
    if (take) small(cell, "Correct with", name, "Take", () => take(p));
  }
  if (rows.length > MOST) make(room, "p", { className: "soft" }, `${rows.length - MOST} more are on the timeline.`);
}

let filled = { editor: null, body: null }; // what the table of corrections shows

// Rows are kept if their number stays the same, so that a focused field does not vanish.
export function segmentTable(room, editor, { playOnly }) {
  const { segments } = editor;
  const same = filled.editor === editor && filled.body?.isConnected;
  if (!segments?.length) room.replaceChildren(make(null, "p", { className: "soft" }, nothing(segments)));
  else if (!same || filled.body.rows.length !== segments.length) {
    filled = { editor, body: table(room, "Corrected segments", ["", "start", "end", "label", ""]) };
    segments.forEach((_, i) => addSegment(filled.body, editor, i, playOnly));
  }
  if (segments?.length) segments.forEach((segment, i) => fill(filled.body.rows[i], segment, i === editor.selected));
}

function nothing(segments) {
  return segments === null
    ? "This video has no corrections. Drag on the track, press M, or start from the ground truth or the proposals."
    : "Corrected: this video has no segments.";
}

function addSegment(body, editor, index, playOnly) {
  const line = make(body, "tr");
  line.addEventListener("focusin", () => editor.selected !== index && editor.select(index));
  make(line, "th", { scope: "row" }, `${index + 1}`);
  for (const edge of ["start", "end"]) addMoment(line, editor, index, edge);
  const label = make(make(line, "td"), "input", { type: "text", maxLength: 200, className: "label" });
  label.setAttribute("list", "labels");
  label.setAttribute("aria-label", `Label of segment ${index + 1}`);
  label.addEventListener("change", () => {
    editor.edit(index, { label: label.value.trim() });
    refill(body, editor);
  });
  const doing = make(line, "td", { className: "doing" });
  small(doing, "Play", `segment ${index + 1}`, "Play", () => playOnly(editor.segments[index]));
  small(doing, "Delete", `segment ${index + 1}`, "Delete", () => editor.remove(index));
}

function addMoment(line, editor, index, edge) {
  const input = make(make(line, "td"), "input", { type: "text", inputMode: "decimal", className: "moment" });
  input.setAttribute("aria-label", `${edge === "start" ? "Start" : "End"} of segment ${index + 1}, seconds`);
  input.addEventListener("change", () => {
    const value = parseClock(input.value);
    const next = { ...editor.segments[index], [edge]: value };
    if (value >= 0 && next.end > next.start) editor.edit(index, { [edge]: value });
    refill(line.parentElement, editor); // rows may have changed places, or the text was no time
  });
}

function refill(body, editor) {
  editor.segments.forEach((segment, i) => fill(body.rows[i], segment, i === editor.selected, null));
}

// Fill all fields except the focused one, so that saving does not disturb typing.
function fill(line, { start, end, label }, chosen, typing = document.activeElement) {
  line.className = chosen ? "chosen" : "";
  const values = [start.toFixed(2), end.toFixed(2), label];
  [...line.querySelectorAll("input")].forEach((input, i) => {
    if (input !== typing && input.value !== values[i]) input.value = values[i];
  });
}
