// The frames of a video: their numbers, from 0, and the times at which they appear.

/** @import { FrameGrid } from "./types.js" */

import { clip } from "./segments.js";

const SLACK = 0.1; // frames by which the times of a constant rate may be rounded in the file

export class Frames {
  /**
   * @param {FrameGrid} grid
   * @param {Float64Array | null} times of all frames, if their rate is variable
   */
  constructor({ frames, rate, first, version }, times) {
    this.count = frames;
    this.rate = rate;
    this.first = first;
    this.version = version;
    this.times = times;
  }

  /**
   * Return the number of the frame that is shown at a time.
   * @param {number} seconds
   */
  at(seconds) {
    const number = this.times ? before(this.times, seconds + SLACK / this.rate)
      : Math.floor((seconds - this.first) * this.rate + SLACK);
    return clip(number, 0, this.count - 1);
  }

  /**
   * Return the time at which a frame appears, seconds.
   * @param {number} number
   */
  time(number) {
    const inside = clip(number, 0, this.count - 1);
    return this.times ? this.times[inside] : this.first + inside / this.rate;
  }

  /**
   * Return the time of the nearest frame; the end of the last frame counts too.
   * @param {number} seconds
   */
  snap(seconds) {
    const number = this.at(seconds), end = this.time(this.count - 1) + 1 / this.rate;
    const times = [this.time(number), number + 1 < this.count ? this.time(number + 1) : end];
    return seconds - times[0] <= times[1] - seconds ? times[0] : times[1];
  }
}

/**
 * Return the index of the last of some ascending times that is not after `seconds`, -1 if none is.
 * @param {Float64Array} times
 * @param {number} seconds
 */
function before(times, seconds) {
  let low = 0, high = times.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (times[middle] <= seconds) low = middle + 1;
    else high = middle;
  }
  return low - 1;
}
