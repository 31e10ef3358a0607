// The visible proposals of a run in lanes, the best on top.

/** @import { Box, Hit, Place, Press, Proposal, Track } from "../types.js" */
/** @import { Painter } from "../painter.js" */
/** @import { Run } from "../run.js" */
/** @import { Scrubber } from "../scrubber.js" */
/** @import { Store } from "../store.js" */

import { clusterHit, isDense, openCluster, paintDensity } from "../density.js";
import { bestOverlap } from "../segments.js";
import { clocks, dotted } from "../text.js";
import { paintJoin } from "./hits.js";

const THINNEST = 5, THICKEST = 9; // pixels of a lane

/** @implements {Track} */
export class ProposalsTrack {
  kind = "proposals";
  isDense = false;

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
    this.count = Math.max(run.lanes.lanes, 1);
    this.height = this.count * THINNEST;
    this.most = this.count * THICKEST;
    const named = store.isComparing && !run.curves;
    this.letter = named ? { text: run.letter, colour: run.colour } : undefined;
  }

  /**
   * @param {Painter} painter
   * @param {Box} box
   */
  paint(painter, { y, height }) {
    const { run } = this, { chosen } = this.store, lane = height / this.count;
    this.isDense = isDense(run.visible, painter);
    if (this.isDense) {
      paintDensity(painter, run.visible, y, height, run.colour);
      return;
    }
    painter.shade(this.store.truth, y, height);
    for (const p of run.lanes.placed) paintProposal(painter, run, p, y + lane * p.lane, lane);
    const here = chosen?.run === run && run.lanes.placed.find((p) => p.rank === chosen.proposal.rank);
    if (here) painter.outline(here, y + lane * here.lane, lane - 2);
  }

  // Join the chosen instance with its best proposal; one that has no lane is drawn over the first.
  /**
   * @param {Painter} painter
   * @param {Box} box
   */
  paintOver(painter, { y, height }) {
    const { run } = this, joined = this.store.hits.joined(run), lane = height / this.count;
    if (!joined) return;
    const placed = run.lanes.placed.find((p) => p.rank === joined.best?.rank);
    paintJoin(painter, joined, y, y + lane * (placed?.lane ?? 0), lane - 2);
  }

  /**
   * @param {Place} place
   * @param {Box} box
   * @returns {Hit | null}
   */
  hit({ seconds, y, reach }, { height }) {
    if (this.isDense) return clusterHit(this.height, this.run.visible, seconds, this.scrubber);
    const { run, store } = this, pitch = height / this.count;
    const lane = Math.floor(y / pitch), near = reach / 2;
    const found = run.lanes.placed.find(
      (p) => p.lane === lane && seconds >= p.start - near && seconds <= p.end + near,
    );
    if (!found) return null;
    const describe = () => dotted(
      `${store.isComparing ? `${run.letter} ` : ""}#${found.rank}`, found.label, clocks(found),
      `score ${found.score.toFixed(3)}`,
      store.truth.length ? `tIoU ${bestOverlap(found, store.truth).toFixed(2)}` : "",
    );
    const box = { y: pitch * lane, height: pitch - 2 };
    return { segment: found, box, cursor: "pointer", describe };
  }

  /**
   * @param {Hit} hit
   * @param {Press} press
   */
  press({ segment }, press) {
    const { scrubber } = this;
    if (this.isDense && segment) return openCluster(segment, scrubber.seconds(press.x), scrubber);
    const proposal = this.run.visible.find((p) => segment && "rank" in segment && p.rank === segment.rank);
    return proposal ? scrubber.clickOrScrub(proposal, () => this.store.choose(this.run, proposal)) : null;
  }
}

/**
 * Paint a proposal: the stronger its colour, the higher its score.
 * @param {Painter} painter
 * @param {Run} run
 * @param {Proposal} proposal
 * @param {number} top
 * @param {number} lane height, pixels
 */
export function paintProposal(painter, run, proposal, top, lane) {
  if (!painter.isVisible(proposal)) return;
  const { c } = painter, [left, width] = painter.extent(proposal);
  c.fillStyle = c.strokeStyle = painter.colours[run.colour];
  c.lineWidth = 1;
  c.globalAlpha = 0.1 + 0.9 * Math.max(proposal.score, 0) / (run.best || 1);
  c.fillRect(left + 0.5, top + 0.5, Math.max(width - 1, 1.5), lane - 3);
  c.globalAlpha = 1;
  c.strokeRect(left + 0.5, top + 0.5, Math.max(width - 1, 1.5), lane - 3);
}
