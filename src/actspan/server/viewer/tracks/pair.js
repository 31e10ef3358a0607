// Two runs on one axis: their curves over each other, and their proposals by who has them.

/** @import { Box, Hit, Place, Press, Track } from "../types.js" */
/** @import { Group, Pair } from "../comparison.js" */
/** @import { Painter } from "../painter.js" */
/** @import { Run } from "../run.js" */
/** @import { Scrubber } from "../scrubber.js" */
/** @import { Store } from "../store.js" */

import { clocks } from "../text.js";

const CURVES = ["action", "start", "end"];
const THINNEST = 6, THICKEST = 10, LEAST = 16; // pixels of a lane, and of a track

/** One of the three curves, of both runs. @implements {Track} */
export class PairCurvesTrack {
  kind = "pair-curves";
  height = 24;
  most = 60;

  /**
   * @param {string} name
   * @param {number} curve
   * @param {Run[]} runs
   * @param {Store} store
   * @param {Scrubber} scrubber
   */
  constructor(name, curve, runs, store, scrubber) {
    this.name = name;
    this.curve = curve;
    this.runs = runs;
    this.store = store;
    this.scrubber = scrubber;
  }

  /**
   * @param {Painter} painter
   * @param {Box} box
   */
  paint(painter, { y, height }) {
    const { c, colours } = painter;
    painter.shade(this.store.truth, y, height);
    c.strokeStyle = colours.rule;
    c.lineWidth = 1;
    c.strokeRect(painter.left + 0.5, Math.round(y) + 0.5, painter.width - 1, Math.round(height) - 1);
    this.runs.forEach((run, i) => this.#line(painter, run, { y, height }, i ? [4, 2] : []));
  }

  /**
   * @param {Painter} painter
   * @param {Run} run
   * @param {Box} box
   * @param {number[]} dash
   */
  #line(painter, run, { y, height }, dash) {
    const { c, colours, view } = painter, { curves } = run;
    const columns = curves?.columns(view.from, view.to, painter.width);
    if (!curves || !columns) return;
    const [first, last] = curves.range(columns.level, view.from, view.to);
    const seconds = (columns.size * curves.span) / curves.cells;
    c.strokeStyle = colours[run.colour];
    c.lineWidth = 1.4;
    c.setLineDash(dash);
    c.beginPath();
    for (let i = first; i <= last; i += 1) {
      const up = (height - 2) * (1 - columns.high(this.curve, i));
      c.lineTo(painter.x(Math.min((i + 0.5) * seconds, curves.span)), y + 1 + up);
    }
    c.stroke();
    c.setLineDash([]);
  }

  /** @returns {Hit} */
  hit() {
    return { track: this };
  }

  /**
   * @param {Hit} _
   * @param {Press} press
   */
  press(_, press) {
    return this.scrubber.scrub(press);
  }
}

/** Visible proposals that both runs have, or one alone, in lanes. @implements {Track} */
export class PairProposalsTrack {
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
    const { c, colours } = painter, { chosen } = this.store, lane = Math.min(height / this.count, THICKEST);
    painter.shade(this.store.truth, y, height);
    c.lineWidth = 1;
    for (const { run, p } of this.group.placed) {
      if (!painter.isVisible(p)) continue;
      const [left, width] = painter.extent(p), top = y + lane * p.lane;
      c.fillStyle = c.strokeStyle = colours[run.colour];
      c.globalAlpha = 0.1 + 0.9 * Math.max(p.score, 0) / (run.best || 1);
      c.fillRect(left + 0.5, top + 0.5, Math.max(width - 1, 1.5), lane - 3);
      c.globalAlpha = 1;
      c.strokeRect(left + 0.5, top + 0.5, Math.max(width - 1, 1.5), lane - 3);
      if (chosen?.run === run && chosen.proposal.rank === p.rank) painter.outline(p, top, lane - 2);
    }
  }

  /**
   * @param {Place} place
   * @param {Box} box
   * @returns {Hit}
   */
  hit({ seconds, y, reach }, { height }) {
    const pitch = Math.min(height / this.count, THICKEST), lane = Math.floor(y / pitch), near = reach / 2;
    const found = this.group.placed.find(({ p }) =>
      p.lane === lane && seconds >= p.start - near && seconds <= p.end + near);
    if (!found) return { track: this };
    const { run, p } = found;
    const describe = () => [
      this.group.name, `${run.letter} #${p.rank}`, p.label, clocks(p, 2), `score ${p.score.toFixed(3)}`,
    ].filter(Boolean).join(" · ");
    return { track: this, segment: p, box: { y: pitch * lane, height: pitch - 2 }, cursor: "pointer", describe };
  }

  /**
   * @param {Hit} hit
   * @param {Press} press
   */
  press({ segment }, press) {
    const found = this.group.placed.find(({ p }) => p === segment);
    if (!found) return this.scrubber.scrub(press);
    const { run, p: { rank } } = found, proposal = run.visible.find((one) => one.rank === rank);
    if (!proposal) return this.scrubber.scrub(press);
    return this.scrubber.clickOrScrub(proposal, () => this.store.choose(run, proposal));
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
  const curves = a.curves || b.curves ? CURVES : [];
  return [
    ...curves.map((name, curve) => new PairCurvesTrack(named(name), curve, [a, b], store, scrubber)),
    ...groups.map((group) => new PairProposalsTrack(named(group.name), group, store, scrubber)),
  ];
}
