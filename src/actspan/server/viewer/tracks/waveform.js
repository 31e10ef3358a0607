// The waveform of a video's sound.

/** @import { Box, Track } from "../types.js" */
/** @import { Curves } from "../curves.js" */
/** @import { Painter } from "../painter.js" */

/** @implements {Track} */
export class WaveformTrack {
  kind = "waveform";

  /**
   * @param {string} name
   * @param {Curves} sound
   */
  constructor(name, sound) {
    this.name = name;
    this.sound = sound;
    this.height = 26;
    this.most = 40;
  }

  /**
   * @param {Painter} painter
   * @param {Box} box
   */
  paint(painter, { y, height }) {
    const { c, colours, view } = painter, { sound } = this, middle = y + height / 2;
    c.fillStyle = colours.rule;
    c.fillRect(painter.left, Math.round(middle), painter.width, 1);
    const columns = sound.columns(view.from, view.to, painter.width);
    if (!columns) return;
    const { first, last, seconds } = columns, half = height / 2 - 1;
    const width = Math.max((seconds / view.length) * painter.width, 1);
    c.fillStyle = colours.soft;
    for (let i = first; i <= last; i += 1) {
      const top = middle - half * columns.high(0, i), foot = middle - half * columns.low(0, i);
      c.fillRect(painter.x(i * seconds), top, width, Math.max(foot - top, 1));
    }
  }
}
