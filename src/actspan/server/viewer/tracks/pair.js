// Two runs on one axis: their curves over each other, and their proposals by who has them.

/** @import { Box, Hit, Place, Track } from "../types.js" */
/** @import { Group, Pair } from "../comparison.js" */
/** @import { Painter } from "../painter.js" */
/** @import { Run } from "../run.js" */
/** @import { Scrubber } from "../scrubber.js" */
/** @import { Store } from "../store.js" */

import { clocks, dotted } from "../text.js";
import { curveNames } from "./curves.js";
import { paintProposal } from "./proposals.js";

const THINNEST = 6, THICKEST = 10, LEAST = 16; // pixels of a lane, and of a track

/** One of the three curves, of both runs. @implements {Track} */
class PairCurvesTrack {
  kind = "pair-curves";
  height = 24;
  most = 60;

  /**
   * @param {string} name
   * @param {number} curve
   * @param {Run[]} runs
   * @param {Store} store
   */
  constructor(name, curve, runs, store) {
    this.name = name;
    this.curve = curve;
    this.runs = runs;
    this.store = store;
  }

  /**
   * @param {Painter} painter
   * @param {Box} box
   */
  paint(painter, { y, height }) {
    painter.shade(this.store.truth, y, height);
    painter.frame(y, height);
    this.runs.forEach((run, i) => this.#line(painter, run, { y, height }, i ? [4, 2] : []));
  }

  /**
   * @param {Painter} painter
   * @param {Run} run
   * @param {Box} box
   * @param {number[]} dash
   */
  #line(painter, run, { y, height }, dash) {
    const { c, colours, view } = painter, columns = run.curves?.columns(view.from, view.to, painter.width);
    if (!columns) return;
    c.strokeStyle = colours[run.colour];
    c.lineWidth = 1.4;
    c.setLineDash(dash);
    c.beginPath();
    for (let i = columns.first; i <= columns.last; i += 1) {
      c.lineTo(painter.x(columns.middle(i)), y + 1 + (height - 2) * (1 - columns.high(this.curve, i)));
    }
    c.stroke();
    c.setLineDash([]);
  }
}

/** Visible proposals that both runs have, or one alone, in lanes. @implements {Track} */
class PairProposalsTrack {
  kind = "pair-proposals";

  /**
   * @param {string} name
   * @param {Group} group
   * @param {Store} store
   * @param {Scrubber} scrubber
   */
  constructor(name, group, store, scrubber) {
    this.name = name;
    this.group = group;
    this.store = store;
    this.scrubber = scrubber;
    this.count = Math.max(group.lanes, 1);
    this.height = Math.max(this.count * THINNEST, LEAST);
    this.most = Math.max(this.count * THICKEST, LEAST);
    const { only } = group; // narrow screens have room for a letter only
    this.letter = name ? undefined : { text: only?.letter ?? "+", colour: only?.colour ?? "soft" };
  }

  /**
   * @param {Painter} painter
   * @param {Box} box
   */
  paint(painter, { y, height }) {
    const { chosen } = this.store, lane = Math.min(height / this.count, THICKEST);
    painter.shade(this.store.truth, y, height);
    for (const { run, p } of this.group.placed) {
      const top = y + lane * p.lane;
      paintProposal(painter, run, p, top, lane);
      if (chosen?.run === run && chosen.proposal.rank === p.rank) painter.outline(p, top, lane - 2);
    }
  }

  /**
   * @param {Place} place
   * @param {Box} box
   * @returns {Hit | null}
   */
  hit({ seconds, y, reach }, { height }) {
    const pitch = Math.min(height / this.count, THICKEST), lane = Math.floor(y / pitch), near = reach / 2;
    const found = this.group.placed.find(({ p }) =>
      p.lane === lane && seconds >= p.start - near && seconds <= p.end + near);
    if (!found) return null;
    const { run, p } = found;
    const describe = () => dotted(
      this.group.name, `${run.letter} #${p.rank}`, p.label, clocks(p), `score ${p.score.toFixed(3)}`,
    );
    return { segment: p, box: { y: pitch * lane, height: pitch - 2 }, cursor: "pointer", describe };
  }

  /**
   * @param {Hit} hit
   */
  press({ segment }) {
    const found = this.group.placed.find(({ p }) => p === segment);
    const proposal = found?.run.visible.find(({ rank }) => rank === found.p.rank);
    if (!found || !proposal) return null;
    return this.scrubber.clickOrScrub(proposal, () => this.store.choose(found.run, proposal));
  }
}

/**
 * Return the tracks of two runs that are compared.
 * @param {(name: string) => string} named
 * @param {Pair} pair
 * @param {Store} store
 * @param {Scrubber} scrubber
 * @returns {Track[]}
 */
export function makePairTracks(named, { a, b, groups }, store, scrubber) {
  const curves = a.curves || b.curves ? curveNames(a.isLabelFree && b.isLabelFree) : [];
  return [
    ...curves.map((name, curve) => new PairCurvesTrack(named(name), curve, [a, b], store)),
    ...groups.map((group) => new PairProposalsTrack(named(group.name), group, store, scrubber)),
  ];
}
