// The track of times.

/** @import { Box, Track } from "../types.js" */
/** @import { Painter } from "../painter.js" */

import { clock } from "../text.js";

const STEPS = [0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400];

/** @implements {Track} */
export class Ruler {
  kind = "ruler";
  name = "";
  pin = /** @type {const} */ ("top");
  height = 22;
  most = 22;

  /**
   * @param {Painter} painter
   * @param {Box} box
   */
  paint(painter, { y, height }) {
    const { c, view } = painter;
    const most = Math.max(painter.width / 84, 2);
    const step = STEPS.find((s) => view.length / s <= most) ?? 3600 * Math.ceil(view.length / most / 3600);
    c.strokeStyle = painter.colours.rule;
    c.lineWidth = 1;
    c.beginPath();
    for (let k = Math.ceil(view.from / step - 1e-9); k * step <= view.to + 1e-9; k += 1) {
      const x = Math.round(painter.x(k * step)) + 0.5;
      c.moveTo(x, y + height - 5);
      c.lineTo(x, y + height + 4000); // through all tracks below
      const isFirst = x < painter.left + 20, isLast = x > painter.right - 20;
      painter.text(clock(k * step, step < 1 ? 1 : 0), x, y + 12, {
        align: isFirst ? "left" : isLast ? "right" : "center",
      });
    }
    c.stroke();
  }
}
