// The whole video and the visible part of it, which is dragged to move.

/** @import { Box, Gesture, Hit, Press, Track } from "../types.js" */
/** @import { Painter } from "../painter.js" */
/** @import { Scrubber } from "../scrubber.js" */
/** @import { Store } from "../store.js" */

/** @implements {Track} */
export class Overview {
  kind = "overview";
  pin = /** @type {const} */ ("bottom");

  /**
   * @param {string} name
   * @param {Store} store
   * @param {Scrubber} scrubber
   * @param {boolean} isTouch
   */
  constructor(name, store, scrubber, isTouch) {
    this.name = name;
    this.store = store;
    this.scrubber = scrubber;
    this.height = this.most = isTouch ? 32 : 20;
  }

  /**
   * @param {Painter} painter
   * @param {Box} box
   */
  paint(painter, { y, height }) {
    const { c, view, colours } = painter, { editor, truth } = this.store;
    const corrected = editor?.shown ?? [];
    const segments = corrected.length ? corrected : truth;
    c.fillStyle = colours.raised;
    c.fillRect(painter.left, y, painter.width, height);
    c.fillStyle = colours[corrected.length ? "corrected" : "truth"];
    for (const { start, end } of segments) {
      const left = this.#x(painter, start);
      c.fillRect(left, y + 6, Math.max(this.#x(painter, end) - left, 1), height - 12);
    }
    const left = this.#x(painter, view.from) + 0.75, right = this.#x(painter, view.to) - 0.75;
    c.strokeStyle = colours.focus;
    c.fillStyle = colours.focus;
    c.lineWidth = 1.5;
    c.globalAlpha = 0.12;
    c.fillRect(left, y + 0.75, Math.max(right - left, 6), height - 1.5);
    c.globalAlpha = 1;
    c.strokeRect(left, y + 0.75, Math.max(right - left, 6), height - 1.5);
  }

  /**
   * @param {Painter} painter
   * @param {Box} box
   */
  paintOver(painter, { y, height }) {
    painter.c.fillStyle = painter.colours.ink;
    painter.c.fillRect(this.#x(painter, this.scrubber.time) - 0.75, y, 1.5, height);
  }

  /**
   * @param {Painter} painter
   * @param {number} seconds
   */
  #x({ left, width, view }, seconds) {
    return left + (seconds / view.seconds) * width;
  }

  /** @returns {Hit} */
  hit() {
    return { cursor: "pointer" };
  }

  /**
   * @param {Hit} _
   * @param {Press} press
   * @returns {Gesture}
   */
  press(_, { x }) {
    const { view } = this.store, { scrubber } = this;
    /** @param {number} place */
    const whole = (place) => scrubber.share(place) * view.seconds;
    const isInside = whole(x) >= view.from && whole(x) <= view.to;
    const grip = isInside ? whole(x) - view.from : view.length / 2;
    /** @param {number} place */
    const move = (place) => view.show(whole(place) - grip, whole(place) - grip + view.length);
    if (!isInside) move(x);
    return { move, end: () => {} };
  }
}
