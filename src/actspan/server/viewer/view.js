// The visible range of the video, which all tracks share.

import { clip } from "./segments.js";

const SHORTEST = 0.5; // seconds across the timeline

/** Event: "change". */
export class View extends EventTarget {
  seconds = 1; // of the video
  from = 0;
  to = 1;

  /** @param {number} seconds */
  open(seconds) {
    this.seconds = Math.max(seconds, SHORTEST);
    this.show(0, this.seconds);
  }

  // Extend the video; what is visible stays, unless it was everything.
  /** @param {number} seconds */
  widen(seconds) {
    const wasWhole = this.isWhole;
    this.seconds = Math.max(this.seconds, seconds);
    this.show(this.from, wasWhole ? this.seconds : this.to);
  }

  get length() {
    return this.to - this.from;
  }

  get isWhole() {
    return this.length >= this.seconds - 1e-9;
  }

  /**
   * @param {number} from
   * @param {number} to
   */
  show(from, to) {
    const length = clip(to - from, Math.min(SHORTEST, this.seconds), this.seconds);
    this.from = clip(from, 0, this.seconds - length);
    this.to = this.from + length;
    this.dispatchEvent(new Event("change"));
  }

  /**
   * Show more (factor > 1) or less; the time `at` keeps its place.
   * @param {number} factor
   * @param {number} [at]
   */
  zoom(factor, at = (this.from + this.to) / 2) {
    const length = Math.min(this.length * factor, this.seconds);
    const share = (at - this.from) / this.length;
    this.show(at - share * length, at + (1 - share) * length);
  }

  /** @param {number} seconds */
  pan(seconds) {
    this.show(this.from + seconds, this.to + seconds);
  }

  /**
   * Move so that a time or a segment is visible.
   * @param {number} start
   * @param {number} [end]
   */
  reveal(start, end = start) {
    if (start >= this.from && end <= this.to) return;
    const length = Math.max(this.length, (end - start) * 1.2);
    const middle = (start + end) / 2;
    this.show(middle - length / 2, middle + length / 2);
  }
}
