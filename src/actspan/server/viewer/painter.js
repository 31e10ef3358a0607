// Drawing on a canvas; positions are CSS pixels, times are seconds.

/** @import { View } from "./view.js" */

const NAMES = [
  "paper", "raised", "ink", "soft", "rule", "edge", "focus", "truth", "corrected", "action", "start", "end",
  "hit", "miss",
  ...Array.from({ length: 7 }, (_, r) => `run${r}`), ...Array.from({ length: 9 }, (_, i) => `label${i + 1}`),
];

/** @typedef {Record<string, string>} Palette */

/**
 * Return the current colours of the style sheet; a canvas cannot use its variables.
 * @param {HTMLElement} room
 * @returns {Palette}
 */
export function readColours(room) {
  const probe = document.createElement("span");
  probe.className = "probe"; // keeps these colours where the system forces others
  room.append(probe);
  /** @type {Palette} */
  const found = {};
  for (const name of NAMES) {
    probe.style.color = `var(--${name})`;
    found[name] = getComputedStyle(probe).color;
  }
  probe.remove();
  return found;
}

/**
 * @typedef {object} TextStyle
 * @property {string} [colour]
 * @property {CanvasTextAlign} [align]
 * @property {string} [weight]
 */

export class Painter {
  /**
   * @param {CanvasRenderingContext2D} context
   * @param {View} view
   * @param {number} left
   * @param {number} right
   * @param {Palette} colours
   */
  constructor(context, view, left, right, colours) {
    this.c = context;
    this.view = view;
    this.left = left;
    this.right = right;
    this.width = right - left;
    this.colours = colours;
  }

  /** @param {number} seconds */
  x(seconds) {
    return this.left + ((seconds - this.view.from) / this.view.length) * this.width;
  }

  /**
   * Return the left edge and the width of a segment, at least a line.
   * @param {import("./types.js").Span} span
   * @returns {[number, number]}
   */
  extent({ start, end }) {
    const left = this.x(start);
    return [left, Math.max(this.x(end) - left, 1.5)];
  }

  /** @param {import("./types.js").Span} span */
  isVisible({ start, end }) {
    return start <= this.view.to && end >= this.view.from;
  }

  /**
   * Paint inside a rectangle only.
   * @param {number} left
   * @param {number} top
   * @param {number} width
   * @param {number} height
   * @param {() => void} paint
   */
  clipped(left, top, width, height, paint) {
    this.c.save();
    this.c.beginPath();
    this.c.rect(left, top, width, height);
    this.c.clip();
    paint();
    this.c.restore();
  }

  /**
   * @param {string} words
   * @param {number} x
   * @param {number} y
   * @param {TextStyle} [style]
   */
  text(words, x, y, { colour = "soft", align = "left", weight = "" } = {}) {
    this.c.font = `${weight} 11px system-ui, sans-serif`;
    this.c.textAlign = align;
    this.c.fillStyle = this.colours[colour];
    this.c.fillText(words, x, y);
  }

  /**
   * Fill a rounded bar from `start` to `end`, with a label if there is room.
   * @param {import("./types.js").Segment} segment
   * @param {number} y
   * @param {number} height
   * @param {string} colour
   */
  bar(segment, y, height, colour) {
    if (!this.isVisible(segment)) return;
    const [left, width] = this.extent(segment);
    this.c.fillStyle = this.colours[colour];
    this.c.beginPath();
    this.c.roundRect(left, y, Math.max(width - 1, 1.5), height, Math.min(3, width / 2));
    this.c.fill();
    this.#label(segment.label, Math.max(left, this.left), Math.min(left + width, this.right), y, height);
  }

  /**
   * @param {string} label
   * @param {number} left
   * @param {number} right
   * @param {number} y
   * @param {number} height
   */
  #label(label, left, right, y, height) {
    const room = Math.floor((right - left - 8) / 6);
    if (!label || room < 2 || height < 12) return;
    const words = label.length > room ? `${label.slice(0, room - 1)}…` : label;
    this.text(words, left + 5, y + height / 2 + 4, { colour: "paper", weight: "600" });
  }

  /**
   * Draw the frame of a track.
   * @param {number} y
   * @param {number} height
   */
  frame(y, height) {
    this.c.strokeStyle = this.colours.rule;
    this.c.lineWidth = 1;
    this.c.strokeRect(this.left + 0.5, Math.round(y) + 0.5, this.width - 1, Math.round(height) - 1);
  }

  /**
   * Draw a dashed rectangle inside a box.
   * @param {number} left
   * @param {number} width
   * @param {import("./types.js").Box} box
   * @param {string} colour
   */
  dashed(left, width, { y, height }, colour) {
    this.c.strokeStyle = this.colours[colour];
    this.c.lineWidth = 1;
    this.c.setLineDash([3, 3]);
    this.c.strokeRect(left + 0.5, y + 0.5, width - 1, height - 1);
    this.c.setLineDash([]);
  }

  /**
   * Draw a frame around a segment.
   * @param {import("./types.js").Span} segment
   * @param {number} y
   * @param {number} height
   */
  outline(segment, y, height) {
    const [left, width] = this.extent(segment);
    this.c.strokeStyle = this.colours.focus;
    this.c.lineWidth = 2;
    this.c.beginPath();
    this.c.roundRect(left - 2, y - 2, width + 4, height + 4, 4);
    this.c.stroke();
  }

  /**
   * Shade segments over a height.
   * @param {import("./types.js").Span[]} segments
   * @param {number} y
   * @param {number} height
   * @param {string} [colour]
   */
  shade(segments, y, height, colour = "truth") {
    this.c.fillStyle = this.colours[colour];
    this.c.globalAlpha = 0.13;
    for (const segment of segments) {
      const [left, width] = this.extent(segment);
      this.c.fillRect(left, y, width, height);
    }
    this.c.globalAlpha = 1;
  }
}
