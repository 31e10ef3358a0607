// Drawing of the tracks on a canvas; positions are CSS pixels.

import { clock } from "./text.js";

const STEPS = [0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400];
const NAMES = ["paper", "raised", "ink", "soft", "rule", "truth", "action", "start", "end", "focus", "corrected",
  ...Array.from({ length: 7 }, (_, r) => `run${r}`)];

// The current colours of the style sheet; a canvas cannot use its variables.
export function readColours(element) {
  const probe = document.createElement("span");
  element.append(probe);
  const found = {};
  for (const name of NAMES) {
    probe.style.color = `var(--${name})`;
    found[name] = getComputedStyle(probe).color;
  }
  probe.remove();
  return found;
}

export class Painter {
  constructor(context, view, left, right, colours) {
    Object.assign(this, { c: context, view, left, right, colours });
    this.width = right - left;
  }

  x(seconds) {
    return this.left + ((seconds - this.view.from) / this.view.length) * this.width;
  }

  clipped(paint) {
    this.c.save();
    this.c.beginPath();
    this.c.rect(this.left, 0, this.width, this.c.canvas.height);
    this.c.clip();
    paint();
    this.c.restore();
  }

  text(words, x, y, { colour = "soft", align = "left", weight = "" } = {}) {
    this.c.font = `${weight} 11px system-ui, sans-serif`;
    this.c.textAlign = align;
    this.c.fillStyle = this.colours[colour];
    this.c.fillText(words, x, y);
  }

  ruler({ y, height }, foot) {
    const { c, view } = this;
    const most = Math.max(this.width / 80, 2);
    const step = STEPS.find((s) => view.length / s <= most) ?? 3600 * Math.ceil(view.length / most / 3600);
    c.strokeStyle = this.colours.rule;
    c.lineWidth = 1;
    c.beginPath();
    for (let k = Math.ceil(view.from / step - 1e-9); k * step <= view.to + 1e-9; k += 1) {
      const x = Math.round(this.x(k * step)) + 0.5;
      c.moveTo(x, y + height - 4);
      c.lineTo(x, foot);
      const words = clock(k * step, step < 1 ? 1 : 0), half = 16;
      const align = x < this.left + half ? "left" : x > this.right - half ? "right" : "center";
      this.text(words, x, y + height - 12, { align });
    }
    c.stroke();
  }

  // Draw labelled bars: ground truth and corrections.
  segments({ y, height }, segments, { colour, outlined = -1 }) {
    const { c } = this;
    segments.forEach((s, i) => {
      const left = this.x(s.start), width = Math.max(this.x(s.end) - left - 1, 1.5);
      if (left > this.right || left + width < this.left) return;
      c.fillStyle = this.colours[colour];
      c.beginPath();
      c.roundRect(left, y, width, height, Math.min(3, width / 2));
      c.fill();
      if (i === outlined) this.outline(left, y, width, height);
      this.#inside(s.label, Math.max(left, this.left), Math.min(left + width, this.right), y, height);
    });
  }

  #inside(label, left, right, y, height) {
    const room = Math.floor((right - left - 8) / 6);
    if (!label || room < 2) return;
    const words = label.length > room ? `${label.slice(0, room - 1)}…` : label;
    this.text(words, left + 5, y + height / 2 + 4, { colour: "paper", weight: "600" });
  }

  outline(left, y, width, height) {
    this.c.strokeStyle = this.colours.focus;
    this.c.lineWidth = 2;
    this.c.beginPath();
    this.c.roundRect(left - 2, y - 2, width + 4, height + 4, 4);
    this.c.stroke();
  }

  shades(segments, y, height) {
    this.c.fillStyle = this.colours.truth;
    this.c.globalAlpha = 0.13;
    for (const s of segments) this.c.fillRect(this.x(s.start), y, this.x(s.end) - this.x(s.start), height);
    this.c.globalAlpha = 1;
  }

  curves({ y, height }, curves) {
    const { c, view } = this;
    const columns = curves.columns(view.from, view.to, this.width);
    c.strokeStyle = this.colours.rule;
    c.lineWidth = 1;
    c.strokeRect(this.left, Math.round(y) + 0.5, this.width, Math.round(height) - 1);
    if (!columns) return;
    const [first, last] = curves.range(columns.level, view.from, view.to);
    const seconds = (columns.size * curves.span) / curves.cells;
    const at = (column) => this.x(Math.min((column + 0.5) * seconds, curves.span));
    const up = (value) => y + 1 + (height - 2) * (1 - value);
    this.#filled(columns, first, last, at, up, y + height - 1);
    this.#line(columns, 0, first, last, at, up, { colour: "action", width: 1 });
    this.#line(columns, 1, first, last, at, up, { colour: "start", width: 1.6 });
    this.#line(columns, 2, first, last, at, up, { colour: "end", width: 1.6, dash: [4, 2] });
  }

  #filled(columns, first, last, at, up, foot) {
    const { c } = this;
    c.fillStyle = this.colours.action;
    c.globalAlpha = 0.2;
    c.beginPath();
    c.moveTo(at(first), foot);
    for (let i = first; i <= last; i += 1) c.lineTo(at(i), up(columns.high(0, i)));
    c.lineTo(at(last), foot);
    c.fill();
    c.globalAlpha = 1;
  }

  #line(columns, curve, first, last, at, up, { colour, width, dash = [] }) {
    const { c } = this;
    if (columns.level > 0) {
      this.#bars(columns, curve, first, last, at, up, colour);
      return;
    }
    c.strokeStyle = this.colours[colour];
    c.lineWidth = width;
    c.setLineDash(dash);
    c.lineJoin = "round";
    c.beginPath();
    for (let i = first; i <= last; i += 1) c.lineTo(at(i), up(columns.high(curve, i)));
    c.stroke();
    c.setLineDash([]);
  }

  // A column of several cells is drawn from its lowest to its highest value, without a gap.
  #bars(columns, curve, first, last, at, up, colour) {
    const { c } = this;
    c.fillStyle = this.colours[colour];
    let before = [0, 1]; // lowest and highest
    for (let i = first; i <= last; i += 1) {
      const low = columns.low(curve, i), high = columns.high(curve, i);
      const top = Math.round(up(Math.max(high, before[0]))), foot = Math.round(up(Math.min(low, before[1])));
      c.fillRect(Math.round(at(i)), top, 1, Math.max(foot - top, 1));
      before = [low, high];
    }
  }

  lanes({ y, pitch }, placed, colour, best) {
    const { c } = this;
    c.fillStyle = this.colours[colour];
    c.strokeStyle = this.colours[colour];
    c.lineWidth = 1;
    for (const p of placed) {
      const left = this.x(p.start), right = this.x(p.end);
      if (left > this.right || right < this.left) continue;
      const box = [left + 0.5, y + pitch * p.lane + 0.5, Math.max(right - left - 1, 1.5), pitch - 3];
      c.globalAlpha = 0.1 + 0.9 * Math.max(p.score, 0) / (best || 1);
      c.fillRect(...box);
      c.globalAlpha = 1;
      c.strokeRect(...box);
    }
  }

  // Draw the whole video, and the visible part of it.
  map({ y, height }, segments) {
    const { c, view } = this;
    const x = (seconds) => this.left + (seconds / view.seconds) * this.width;
    c.fillStyle = this.colours.raised;
    c.fillRect(this.left, y, this.width, height);
    c.fillStyle = this.colours.truth;
    for (const s of segments) c.fillRect(x(s.start), y + 5, Math.max(x(s.end) - x(s.start), 1), height - 10);
    c.strokeStyle = this.colours.focus;
    c.fillStyle = this.colours.focus;
    c.lineWidth = 1.5;
    const box = [x(view.from) + 0.75, y + 0.75, Math.max(x(view.to) - x(view.from) - 1.5, 6), height - 1.5];
    c.globalAlpha = 0.12;
    c.fillRect(...box);
    c.globalAlpha = 1;
    c.strokeRect(...box);
  }
}
