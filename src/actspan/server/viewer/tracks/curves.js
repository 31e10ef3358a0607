// The three curves of a run: action, start and end.

/** @import { Box, Track } from "../types.js" */
/** @import { Columns } from "../curves.js" */
/** @import { Painter } from "../painter.js" */
/** @import { Run } from "../run.js" */
/** @import { Store } from "../store.js" */

/**
 * @typedef {object} Plot how columns become pixels
 * @property {Columns} columns
 * @property {(column: number) => number} at
 * @property {(value: number) => number} up
 */

const CURVES = ["action", "start", "end"]; // also the names of their colours

/**
 * Return the names of the curves that are drawn: without a model, start and end are the same.
 * @param {boolean} isLabelFree
 */
export const curveNames = (isLabelFree) => (isLabelFree ? ["action", "boundary"] : CURVES);

/** @implements {Track} */
export class CurvesTrack {
  kind = "curves";
  name = "";
  height = 42;
  most = 90;

  /**
   * @param {Run} run
   * @param {Store} store
   */
  constructor(run, store) {
    this.run = run;
    this.store = store;
    this.letter = store.isComparing ? { text: run.letter, colour: run.colour } : undefined;
  }

  /**
   * @param {Painter} painter
   * @param {Box} box
   */
  paint(painter, { y, height }) {
    const { view } = painter;
    painter.shade(this.store.truth, y, height);
    painter.frame(y, height);
    const columns = this.run.curves?.columns(view.from, view.to, painter.width);
    if (!columns) return;
    /** @type {Plot} */
    const plot = {
      columns,
      at: (column) => painter.x(columns.middle(column)),
      up: (value) => y + 1 + (height - 2) * (1 - value),
    };
    area(painter, plot, y + height - 1);
    line(painter, plot, 0, { colour: "action", width: 1 });
    line(painter, plot, 1, { colour: "start", width: 1.6 });
    if (!this.run.isLabelFree) line(painter, plot, 2, { colour: "end", width: 1.6, dash: [4, 2] });
  }

  /**
   * Name the curves beside the track.
   * @param {Painter} painter
   * @param {Box} box
   */
  paintName(painter, { y, height }) {
    if (painter.left < 60 || height < 40) return;
    curveNames(this.run.isLabelFree).forEach((name, i) =>
      painter.text(name, painter.left - 8, y + 12 + 13 * i, { align: "right", colour: CURVES[i] }));
  }
}

/**
 * Fill below the curve of action.
 * @param {Painter} painter
 * @param {Plot} plot
 * @param {number} foot
 */
function area({ c, colours }, { columns, at, up }, foot) {
  const { first, last } = columns;
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
  const { c, colours } = painter, { columns, at, up } = plot;
  if (columns.level > 0) {
    bars(painter, plot, curve, colour);
    return;
  }
  c.strokeStyle = colours[colour];
  c.lineWidth = width;
  c.setLineDash(dash);
  c.lineJoin = "round";
  c.beginPath();
  for (let i = columns.first; i <= columns.last; i += 1) c.lineTo(at(i), up(columns.high(curve, i)));
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
function bars({ c, colours }, { columns, at, up }, curve, colour) {
  c.fillStyle = colours[colour];
  let before = [0, 1]; // lowest and highest value of the column before
  for (let i = columns.first; i <= columns.last; i += 1) {
    const low = columns.low(curve, i), high = columns.high(curve, i);
    const top = Math.round(up(Math.max(high, before[0]))), foot = Math.round(up(Math.min(low, before[1])));
    c.fillRect(Math.round(at(i)), top, 1, Math.max(foot - top, 1));
    before = [low, high];
  }
}
