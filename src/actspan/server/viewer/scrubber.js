// The part of the timeline and of the position that tracks use.

/** @import { Gesture, Press, Span } from "./types.js" */
/** @import { Player } from "./player.js" */
/** @import { Timeline } from "./timeline.js" */

export class Scrubber {
  /**
   * @param {Timeline} timeline
   * @param {Player} player
   */
  constructor(timeline, player) {
    this.timeline = timeline;
    this.player = player;
  }

  get time() {
    return this.player.time;
  }

  // Seconds per pixel.
  get scale() {
    return this.timeline.scale;
  }

  /** @param {number} x */
  share(x) {
    return (x - this.timeline.left) / (this.timeline.right - this.timeline.left);
  }

  /** @param {number} x */
  seconds(x) {
    const { view, inside } = this.timeline;
    return inside(view.from + this.share(x) * view.length);
  }

  /** @param {number} seconds */
  goTo(seconds) {
    this.player.goTo(seconds);
  }

  /** @param {Span} span */
  playOnly(span) {
    this.player.playOnly(span);
  }

  // A touch may be the first of two, or scroll, so it must move or end before the position changes.
  /**
   * @param {Press} press
   * @returns {Gesture}
   */
  scrub({ x, touch }) {
    /** @param {number} place */
    const move = (place) => this.goTo(this.seconds(place));
    if (!touch) move(x);
    return { move, end: (moved) => moved || move(x) };
  }

  // A click does something, a drag moves the position.
  /**
   * @param {() => void} click
   * @returns {Gesture}
   */
  clickOr(click) {
    return {
      move: (x) => this.goTo(this.seconds(x)),
      end: (moved) => moved || click(),
    };
  }

  // A click plays a segment, a drag moves the position.
  /**
   * @param {Span} span
   * @param {() => void} [choose]
   */
  clickOrScrub(span, choose) {
    return this.clickOr(() => {
      choose?.();
      this.playOnly(span);
    });
  }
}
