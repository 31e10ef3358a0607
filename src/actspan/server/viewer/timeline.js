// The timeline: layout of the tracks, and when they are painted.
//
// Two canvases lie on top of each other. The base depends on the data and the zoom; the overlay
// on the pointer and the clock, so that scrubbing paints little.

import { Painter, readColours } from "./paint.js";
import { byId, clock, LETTERS } from "./text.js";

const CURVES = 76, RULER = 24, BAR = 20, MAP = 22, GAP = 8, PITCH = 9;

export class Timeline extends EventTarget {
  base = byId("base").getContext("2d");
  overlay = byId("overlay").getContext("2d");
  hovered = null; // what the pointer is over
  draft = null; // a segment that is being drawn
  #waiting = new Set();

  constructor(view, content) {
    super();
    this.view = view;
    this.content = content; // () => {truth, corrections, canEdit, selected, chosen, runs, playhead}
    this.room = byId("timeline");
    view.addEventListener("change", () => this.paint());
    new ResizeObserver(() => this.layout()).observe(this.room);
    this.recolour();
  }

  recolour() {
    this.colours = readColours(this.room);
    this.paint();
  }

  // Compute the places of the tracks, and paint them all.
  layout() {
    const { truth, runs, canEdit } = this.content();
    const width = this.room.clientWidth;
    const narrow = width < 560;
    const touch = matchMedia("(pointer: coarse)").matches;
    this.left = narrow ? 22 : 84;
    this.right = width - 8;
    let y = 0;
    this.rows = [];
    const add = (kind, height, more = {}) => {
      this.rows.push({ kind, y, height, ...more });
      y += height + GAP;
    };
    add("ruler", RULER);
    y -= GAP / 2;
    if (truth.length) add("truth", BAR, { name: narrow ? "" : "ground truth" });
    if (canEdit) add("corrections", touch ? 36 : BAR + 2, { name: narrow ? "" : "corrections" });
    runs.forEach((run) => {
      if (!run.shown) return;
      const name = runs.length > 1 || narrow ? LETTERS[run.number] : "";
      if (run.curves) add("curves", CURVES, { run, name });
      const lanes = Math.max(run.lanes.lanes, 1);
      add("lanes", lanes * PITCH, { run, pitch: PITCH, name: run.curves ? "" : name });
    });
    this.foot = y;
    add("map", touch ? 32 : MAP, { name: narrow ? "" : "whole video" });
    this.#resize(width, y);
    this.paint();
  }

  #resize(width, height) {
    const ratio = devicePixelRatio || 1;
    for (const { canvas } of [this.base, this.overlay]) {
      canvas.width = Math.round(width * ratio);
      canvas.height = Math.round(height * ratio);
      canvas.style.width = `${width}px`;
      canvas.style.height = `${height}px`;
    }
    this.room.style.height = `${height}px`;
    Object.assign(this, { width, height, ratio });
  }

  paint() {
    this.#soon("base", () => this.#paintBase());
    this.paintOverlay();
  }

  paintOverlay() {
    this.#soon("overlay", () => this.#paintOverlay());
  }

  #soon(what, paint) {
    if (this.#waiting.has(what)) return;
    this.#waiting.add(what);
    requestAnimationFrame(() => {
      this.#waiting.delete(what);
      if (this.rows && this.width) paint();
    });
  }

  seconds(x) {
    const share = (x - this.left) / (this.right - this.left);
    return Math.min(Math.max(this.view.from + share * this.view.length, 0), this.view.seconds);
  }

  perPixel() {
    return this.view.length / (this.right - this.left);
  }

  #painter(context) {
    context.setTransform(this.ratio, 0, 0, this.ratio, 0, 0);
    context.clearRect(0, 0, this.width, this.height);
    return new Painter(context, this.view, this.left, this.right, this.colours);
  }

  #paintBase() {
    const { truth, corrections, selected, runs, chosen } = this.content();
    const painter = this.#painter(this.base);
    const curves = this.rows.filter((row) => row.kind === "curves" || row.kind === "lanes");
    painter.clipped(() => {
      painter.ruler(this.rows[0], this.foot - GAP);
      for (const row of curves) painter.shades(truth, row.y, row.height);
      for (const row of this.rows) this.#paintRow(painter, row, { truth, corrections, selected, chosen });
    });
    for (const row of this.rows) this.#paintName(painter, row, runs.length);
  }

  #paintRow(painter, row, { truth, corrections, selected, chosen }) {
    if (row.kind === "truth") painter.segments(row, truth, { colour: "truth" });
    else if (row.kind === "corrections") this.#paintCorrections(painter, row, corrections, selected);
    else if (row.kind === "curves") painter.curves(row, row.run.curves);
    else if (row.kind === "lanes") {
      painter.lanes(row, row.run.lanes.placed, `run${row.run.colour}`, row.run.best);
      const here = chosen?.run === row.run && row.run.lanes.placed.find((p) => p.rank === chosen.rank);
      if (here) painter.outline(...this.#boxOf(painter, { segment: here, box: laneBox(row, here.lane) }));
    } else if (row.kind === "map") painter.map(row, corrections?.length ? corrections : truth);
  }

  #paintCorrections(painter, row, corrections, selected) {
    const { c } = painter;
    c.strokeStyle = this.colours.rule;
    c.lineWidth = 1;
    c.setLineDash([3, 3]);
    c.strokeRect(this.left + 0.5, row.y + 0.5, this.right - this.left - 1, row.height - 1);
    c.setLineDash([]);
    if (!corrections?.length) {
      const words = this.left > 60 ? "drag here to mark a segment" : "drag to mark a segment";
      painter.text(words, this.left + 8, row.y + row.height / 2 + 4);
    }
    const inner = { y: row.y + 1, height: row.height - 2 };
    painter.segments(inner, corrections ?? [], { colour: "corrected", outlined: selected });
  }

  #paintName(painter, row, several) {
    if (!row.name) return;
    const letter = row.name.length === 1;
    const middle = row.kind === "curves" ? row.y + 12 : row.y + row.height / 2 + 4;
    if (letter && several > 1) {
      painter.text(row.name, this.left - 8, middle, { align: "right", colour: `run${row.run.colour}`, weight: "700" });
    } else if (!letter) painter.text(row.name, this.left - 8, middle, { align: "right" });
  }

  #paintOverlay() {
    const { playhead } = this.content();
    const painter = this.#painter(this.overlay);
    const { c } = painter;
    painter.clipped(() => {
      if (this.hovered?.box) painter.outline(...this.#boxOf(painter, this.hovered));
      if (this.draft) painter.segments(this.#row("corrections"), [this.draft], { colour: "corrected" });
    });
    const x = painter.x(playhead);
    if (x >= this.left - 1 && x <= this.right + 1) {
      c.fillStyle = this.colours.ink;
      c.fillRect(x - 0.75, RULER - 4, 1.5, this.foot - RULER);
      c.beginPath();
      c.moveTo(x - 6, RULER - 9);
      c.lineTo(x + 6, RULER - 9);
      c.lineTo(x, RULER - 1);
      c.fill();
    }
    const map = this.#row("map");
    const small = this.left + (playhead / this.view.seconds) * (this.right - this.left);
    c.fillStyle = this.colours.ink;
    c.fillRect(small - 0.75, map.y, 1.5, map.height);
  }

  #row(kind) {
    return this.rows.find((row) => row.kind === kind);
  }

  #boxOf(painter, { segment, box }) {
    const left = painter.x(segment.start);
    return [left, box.y, Math.max(painter.x(segment.end) - left, 1.5), box.height];
  }

  rowAt(y) {
    return this.rows?.find((row) => y >= row.y - GAP / 2 && y < row.y + row.height + GAP / 2);
  }

  // Return what is at a point: {kind, segment, index, run, edge, box}.
  hit(x, y, reach = 6) {
    const row = this.rowAt(y);
    if (!row) return null;
    const t = this.seconds(x), near = reach * this.perPixel();
    if (row.kind === "truth") return this.#hitBar(row, this.content().truth, t, 0);
    if (row.kind === "corrections") return this.#hitBar(row, this.content().corrections ?? [], t, near);
    return row.kind === "lanes" ? this.#hitLane(row, t, y, near / 2) : { kind: row.kind, row };
  }

  #hitBar(row, segments, t, near) {
    const box = { y: row.y, height: row.height };
    for (let i = segments.length - 1; i >= 0; i -= 1) {
      const s = segments[i];
      if (t < s.start - near || t > s.end + near) continue;
      const inner = Math.min(near, (s.end - s.start) / 3);
      const edge = !near ? "" : t < s.start + inner ? "start" : t > s.end - inner ? "end" : "";
      return { kind: row.kind, row, segment: s, index: i, edge, box };
    }
    return { kind: row.kind, row };
  }

  #hitLane(row, t, y, near) {
    const lane = Math.min(Math.max(Math.floor((y - row.y) / row.pitch), 0), row.run.lanes.lanes - 1);
    const found = row.run.lanes.placed.find(
      (p) => p.lane === lane && t >= p.start - near && t <= p.end + near,
    );
    if (!found) return { kind: row.kind, row };
    return { kind: "proposal", row, segment: found, run: row.run, box: laneBox(row, lane) };
  }

  describe(playhead) {
    return `${clock(playhead, 1)} of ${clock(this.view.seconds, 1)}`;
  }
}

function laneBox({ y, pitch }, lane) {
  return { y: y + pitch * lane, height: pitch - 2 };
}
