// The three curves of a run: action, start and end.

/** @import { Box, Hit, Press, Track } from "../types.js" */
/** @import { Columns } from "../curves.js" */
/** @import { Painter } from "../painter.js" */
/** @import { Run } from "../run.js" */
/** @import { Scrubber } from "../scrubber.js" */
/** @import { Store } from "../store.js" */

/**
 * @typedef {object} Plot how columns become pixels
 * @property {Columns} columns
 * @property {number} first
 * @property {number} last
 * @property {(column: number) => number} at
 * @property {(value: number) => number} up
 */

const LEGEND = [["action", "action"], ["start", "start"], ["end", "end"]];

/** @implements {Track} */
export class CurvesTrack {
  kind = "curves";
  name = "";
  height = 42;
  most = 90;

  /**
   * @param {Run} run
   * @param {Store} store
   * @param {Scrubber} scrubber
   */
  constructor(run, store, scrubber) {
    this.run = run;
    this.store = store;
    this.scrubber = scrubber;
    this.letter = store.isComparing ? { text: run.letter, colour: run.colour } : undefined;
  }

  /**
   * @param {Painter} painter
   * @param {Box} box
   */
  paint(painter, { y, height }) {
    const { c, view } = painter, { curves } = this.run;
    painter.shade(this.store.truth, y, height);
    c.strokeStyle = painter.colours.rule;
    c.lineWidth = 1;
    c.strokeRect(painter.left + 0.5, Math.round(y) + 0.5, painter.width - 1, Math.round(height) - 1);
    const columns = curves?.columns(view.from, view.to, painter.width);
    if (!curves || !columns) return;
    const [first, last] = curves.range(columns.level, view.from, view.to);
    const seconds = (columns.size * curves.span) / curves.cells;
    /** @type {Plot} */
    const plot = {
      columns, first, last,
      at: (column) => painter.x(Math.min((column + 0.5) * seconds, curves.span)),
      up: (value) => y + 1 + (height - 2) * (1 - value),
    };
    area(painter, plot, y + height - 1);
    line(painter, plot, 0, { colour: "action", width: 1 });
    line(painter, plot, 1, { colour: "start", width: 1.6 });
    line(painter, plot, 2, { colour: "end", width: 1.6, dash: [4, 2] });
  }

  /**
   * Name the curves beside the track.
   * @param {Painter} painter
   * @param {Box} box
   */
  paintName(painter, { y, height }) {
    if (painter.left < 60 || height < 40) return;
    LEGEND.forEach(([name, colour], i) =>
      painter.text(name, painter.left - 8, y + 12 + 13 * i, { align: "right", colour }));
  }

  /** @returns {Hit} */
  hit() {
    return { track: this };
  }

  /**
   * @param {Hit} _
   * @param {Press} press
   */
  press(_, press) {
    return this.scrubber.scrub(press);
  }
}

/**
 * Fill below the curve of action.
 * @param {Painter} painter
 * @param {Plot} plot
 * @param {number} foot
 */
function area({ c, colours }, { columns, first, last, at, up }, foot) {
  c.fillStyle = colours.action;
  c.globalAlpha = 0.2;
  c.beginPath();
  c.moveTo(at(first), foot);
  for (let i = first; i <= last; i += 1) c.lineTo(at(i), up(columns.high(0, i)));
  c.lineTo(at(last), foot);
  c.fill();
  c.globalAlpha = 1;
}

/**
 * @param {Painter} painter
 * @param {Plot} plot
 * @param {number} curve
 * @param {{ colour: string, width: number, dash?: number[] }} style
 */
function line(painter, plot, curve, { colour, width, dash = [] }) {
  const { c, colours } = painter, { columns, first, last, at, up } = plot;
  if (columns.level > 0) {
    bars(painter, plot, curve, colour);
    return;
  }
  c.strokeStyle = colours[colour];
  c.lineWidth = width;
  c.setLineDash(dash);
  c.lineJoin = "round";
  c.beginPath();
  for (let i = first; i <= last; i += 1) c.lineTo(at(i), up(columns.high(curve, i)));
  c.stroke();
  c.setLineDash([]);
}

/**
 * Draw columns of several cells from the lowest to the highest value, without a gap.
 * @param {Painter} painter
 * @param {Plot} plot
 * @param {number} curve
 * @param {string} colour
 */
function bars({ c, colours }, { columns, first, last, at, up }, curve, colour) {
  c.fillStyle = colours[colour];
  let before = [0, 1]; // lowest and highest value of the column before
  for (let i = first; i <= last; i += 1) {
    const low = columns.low(curve, i), high = columns.high(curve, i);
    const top = Math.round(up(Math.max(high, before[0]))), foot = Math.round(up(Math.min(low, before[1])));
    c.fillRect(Math.round(at(i)), top, 1, Math.max(foot - top, 1));
    before = [low, high];
  }
}
