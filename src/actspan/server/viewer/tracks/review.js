// The reviewed proposal; its edges can be dragged.

/** @import { Box, Gesture, Hit, Place, Press, Track } from "../types.js" */
/** @import { Painter } from "../painter.js" */
/** @import { Review } from "../review.js" */
/** @import { Scrubber } from "../scrubber.js" */
/** @import { Store } from "../store.js" */

import { dragged, edgeAt } from "../segments.js";
import { clocks, dotted } from "../text.js";

const HEIGHT = 20; // pixels

/** @implements {Track} */
export class ReviewTrack {
  kind = "review";
  height = HEIGHT;
  most = HEIGHT;

  /**
   * @param {string} name
   * @param {Review} review
   * @param {Store} store
   * @param {Scrubber} scrubber
   */
  constructor(name, review, store, scrubber) {
    this.name = name;
    this.review = review;
    this.store = store;
    this.scrubber = scrubber;
  }

  /**
   * @param {Painter} painter
   * @param {Box} box
   */
  paint(painter, { y }) {
    const { shown } = this.review;
    if (!shown) return;
    const { item, segment } = shown;
    painter.bar(segment, y + 2, HEIGHT - 4, this.store.runs[this.review.query.run]?.colour ?? "run0");
    painter.outline(segment, y + 3, HEIGHT - 6);
    if (item.start === segment.start && item.end === segment.end) return;
    const [left, width] = painter.extent(item);
    painter.dashed(left, width, { y, height: HEIGHT }, "ink"); // as it was proposed
  }

  /**
   * @param {Place} place
   * @returns {Hit | null}
   */
  hit({ seconds, reach }) {
    const segment = this.review.shown?.segment;
    if (!segment || seconds < segment.start - reach || seconds > segment.end + reach) return null;
    const edge = edgeAt(segment, seconds, reach);
    const describe = () => dotted(segment.label, clocks(segment));
    const box = { y: 2, height: HEIGHT - 4 };
    return { segment, edge, box, cursor: edge ? "ew-resize" : "", describe };
  }

  /**
   * @param {Hit} hit
   * @param {Press} press
   * @returns {Gesture | null}
   */
  press({ segment, edge = "" }, press) {
    if (!segment || !edge) return null;
    const { review, scrubber, store } = this, from = scrubber.seconds(press.x);
    /** @param {number} x */
    const now = (x) => dragged(segment, edge, scrubber.seconds(x) - from, store.seconds, review.actions.frame);
    return {
      move: (x) => {
        review.preview(now(x));
        scrubber.goTo(now(x)[edge]);
      },
      cancel: () => review.preview(segment),
      end: (moved, x) => {
        review.preview(segment);
        if (moved) review.move(now(x));
      },
    };
  }
}
