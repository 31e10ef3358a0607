// The ground truth; overlapping instances lie in lanes of their own.

/** @import { Box, Hit, Place, Press, Segment, Track } from "../types.js" */
/** @import { Painter } from "../painter.js" */
/** @import { Scrubber } from "../scrubber.js" */

import { clusterHit, isDense, openCluster, paintDensity } from "../density.js";
import { packLanes } from "../segments.js";
import { clocks, dotted } from "../text.js";

const LANE = 18, MOST = 6; // pixels, lanes

/** @implements {Track} */
export class TruthTrack {
  kind = "truth";
  isDense = false;

  /**
   * @param {string} name
   * @param {Segment[]} segments
   * @param {Scrubber} scrubber
   */
  constructor(name, segments, scrubber) {
    this.name = name;
    this.segments = segments;
    this.lanes = packLanes(segments, MOST);
    this.scrubber = scrubber;
    this.height = this.most = this.lanes.lanes * LANE;
  }

  /**
   * @param {Painter} painter
   * @param {Box} box
   */
  paint(painter, { y, height }) {
    this.isDense = isDense(this.segments, painter);
    if (this.isDense) {
      paintDensity(painter, this.segments, y, height, "truth");
      return;
    }
    for (const placed of this.lanes.placed) painter.bar(placed, y + placed.lane * LANE, LANE - 2, "truth");
  }

  /**
   * @param {Place} place
   * @returns {Hit | null}
   */
  hit({ seconds, y }) {
    if (this.isDense) return clusterHit(this.height, this.segments, seconds, this.scrubber);
    const lane = Math.floor(y / LANE);
    const segment = this.lanes.placed.find((p) => p.lane === lane && seconds >= p.start && seconds <= p.end);
    if (!segment) return null;
    const describe = () => dotted(segment.label, clocks(segment));
    return { segment, box: { y: lane * LANE, height: LANE - 2 }, cursor: "pointer", describe };
  }

  /**
   * @param {Hit} hit
   * @param {Press} press
   */
  press({ segment }, press) {
    const { scrubber } = this;
    if (this.isDense && segment) return openCluster(segment, scrubber.seconds(press.x), scrubber);
    return segment ? scrubber.clickOrScrub(segment) : null;
  }
}
