// The instances as a run finds them: a hit is filled and ticked, a miss is hollow and crossed.

/** @import { Box, Hit, Matched, Place, Track } from "../types.js" */
/** @import { Painter } from "../painter.js" */
/** @import { Run } from "../run.js" */
/** @import { Scrubber } from "../scrubber.js" */
/** @import { Store } from "../store.js" */

import { packLanes } from "../segments.js";
import { clocks, dotted } from "../text.js";

const LANE = 15, MOST = 4; // pixels, lanes
const GAP = 6; // pixels between this track and the proposals below it

/** @param {Matched} matched */
export const markOf = ({ isFound }) => (isFound ? "✓" : "✗");

/** @param {Matched} matched */
const bestOf = ({ best, tiou }) =>
  (best ? `best #${best.rank}, tIoU ${tiou.toFixed(2)}` : "no proposal overlaps");

/** @implements {Track} */
export class HitsTrack {
  kind = "hits";

  /**
   * @param {string} name
   * @param {Run} run
   * @param {Store} store
   * @param {Scrubber} scrubber
   */
  constructor(name, run, store, scrubber) {
    this.name = name;
    this.run = run;
    this.store = store;
    this.scrubber = scrubber;
    this.lanes = packLanes(store.hits.of(run), MOST);
    this.height = this.most = Math.max(this.lanes.lanes, 1) * LANE;
  }

  /**
   * @param {Painter} painter
   * @param {Box} box
   */
  paint(painter, { y }) {
    const { c, colours } = painter;
    for (const placed of this.lanes.placed) {
      if (!painter.isVisible(placed)) continue;
      const [left, width] = painter.extent(placed), top = y + placed.lane * LANE;
      c.beginPath();
      c.roundRect(left + 0.75, top + 0.75, Math.max(width - 2, 1), LANE - 3.5, 3);
      c.fillStyle = colours[placed.isFound ? "hit" : "paper"];
      c.strokeStyle = colours[placed.isFound ? "hit" : "miss"];
      c.lineWidth = 1.5;
      c.fill();
      c.stroke();
      if (width > 11) {
        const middle = (Math.max(left, painter.left) + Math.min(left + width, painter.right)) / 2;
        const colour = placed.isFound ? "paper" : "miss";
        painter.text(markOf(placed), middle, top + 10.5, { colour, align: "center", weight: "700" });
      }
    }
  }

  /**
   * @param {Place} place
   * @returns {Hit | null}
   */
  hit({ seconds, y }) {
    const lane = Math.floor(y / LANE);
    const found = this.lanes.placed.find((p) => p.lane === lane && seconds >= p.start && seconds <= p.end);
    if (!found) return null;
    const describe = () => dotted(
      found.isFound ? "✓ found" : "✗ missed", found.label, clocks(found), bestOf(found),
      found.best && !this.run.visible.includes(found.best) ? "which is not shown" : "",
    );
    const box = { y: lane * LANE, height: LANE - 2 };
    return { segment: found, index: found.index, box, cursor: "pointer", describe };
  }

  /**
   * @param {Hit} hit
   */
  press({ segment, index = -1 }) {
    const matched = this.store.hits.of(this.run)[index];
    if (!segment || !matched) return null;
    return this.scrubber.clickOrScrub(segment, () => this.store.hits.choose(this.run, matched));
  }
}

/**
 * Join an instance in the track above with its best proposal, a bar at `top`.
 * @param {Painter} painter
 * @param {Matched} matched
 * @param {number} y of the track of proposals
 * @param {number} top
 * @param {number} height
 */
export function paintJoin(painter, matched, y, top, height) {
  const { c, colours } = painter, { best } = matched;
  if (!best) return;
  const [left, width] = painter.extent(matched), [lower, lowerWidth] = painter.extent(best);
  const above = y - GAP;
  c.fillStyle = c.strokeStyle = colours[matched.isFound ? "hit" : "miss"];
  c.lineWidth = 1.5;
  c.setLineDash(matched.isFound ? [] : [4, 3]);
  c.beginPath();
  c.moveTo(left, above);
  c.lineTo(lower, top);
  c.moveTo(left + width, above);
  c.lineTo(lower + lowerWidth, top);
  c.rect(lower, top, lowerWidth, height);
  c.stroke();
  c.setLineDash([]);
  c.globalAlpha = 0.12;
  c.beginPath();
  const corners = [[left, above], [left + width, above], [lower + lowerWidth, top], [lower, top]];
  for (const [x, at] of corners) c.lineTo(x, at);
  c.fill();
  c.globalAlpha = 1;
}
