// The timeline: places of the tracks, and when they are painted.
//
// Two canvases lie on top of each other. The base depends on the data and the zoom; the overlay
// on the pointer and the position, so that scrubbing paints little. Tracks that do not fit scroll
// between those that are pinned to the top and the bottom.

/** @import { Box, Span, Track, TrackHit } from "./types.js" */
/** @import { Palette } from "./painter.js" */
/** @import { Player } from "./player.js" */
/** @import { Store } from "./store.js" */

import { byId, element } from "./dom.js";
import { Painter, readColours } from "./painter.js";
import { Scrubber } from "./scrubber.js";
import { clip } from "./segments.js";
import { makeTracks } from "./tracks.js";

const GAP = 6, FOOT = 4; // pixels between tracks and below the last

/** @param {string} id */
function contextOf(id) {
  const context = element(id, HTMLCanvasElement).getContext("2d");
  if (!context) throw new Error("this browser has no canvas");
  return context;
}

export class Timeline {
  base = contextOf("base");
  overlay = contextOf("overlay");
  room = byId("timeline");
  left = 0;
  right = 1;
  width = 0;
  height = 0;
  /** @type {{ track: Track, box: Box }[]} */
  rows = [];
  /** @type {TrackHit | null} */
  hovered = null;
  /** @type {Palette} */
  colours = {};
  #ratio = 1; // device pixels per pixel
  #top = 0; // height of the tracks that are pinned there
  #bottom = 0;
  /** @type {Set<string>} */
  #waiting = new Set();

  /**
   * @param {Store} store
   * @param {Player} player
   */
  constructor(store, player) {
    this.store = store;
    this.view = store.view;
    this.player = player;
    this.scrubber = new Scrubber(this, player);
    this.view.addEventListener("change", () => this.paint());
    store.on(["video", "proposals", "runs", "edit", "length", "media", "hits", "review", "comparison"],
      () => this.layout());
    store.on(["choice", "picture"], () => this.paint());
    for (const event of ["move", "range"]) player.addEventListener(event, () => this.paintOverlay());
    this.room.addEventListener("scroll", () => this.layout(), { passive: true });
    new ResizeObserver(() => this.layout()).observe(this.room);
    this.recolour();
  }

  recolour() {
    this.colours = readColours(this.room);
    this.paint();
  }

  /** @param {number} seconds */
  inside = (seconds) => this.store.inside(seconds);

  // The height that all tracks can use.
  get needed() {
    return this.#tracks().reduce((sum, track) => sum + track.most + GAP, FOOT);
  }

  get isNarrow() {
    return this.room.clientWidth < 560;
  }

  #tracks() {
    return makeTracks(this.store, this.scrubber, this.isNarrow);
  }

  // Compute the places of the tracks, and paint them.
  layout() {
    const { clientWidth: width, clientHeight: height } = this.room;
    this.left = this.isNarrow ? 22 : 84;
    this.right = width - 8;
    const tracks = this.#tracks();
    const pinned = (/** @type {string} */ pin) => tracks.filter((track) => track.pin === pin);
    const middle = tracks.filter((track) => !track.pin);
    const total = (/** @type {Track[]} */ some) => some.reduce((sum, track) => sum + track.height + GAP, 0);
    this.#top = total(pinned("top"));
    this.#bottom = total(pinned("bottom")) + FOOT;
    const spare = height - total(tracks) - FOOT;
    const usable = middle.reduce((sum, track) => sum + track.most - track.height, 0);
    byId("tracks").style.height = `${Math.max(total(tracks) + FOOT, height)}px`;
    this.rows = [];
    this.#place(pinned("top"), 0, 0);
    this.#place(middle, this.#top - this.room.scrollTop, usable ? clip(spare / usable, 0, 1) : 0);
    this.#place(pinned("bottom"), height - this.#bottom + GAP, 0);
    this.#resize(width, height);
    this.paint();
  }

  /**
   * @param {Track[]} tracks
   * @param {number} top
   * @param {number} share of the additional pixels that tracks can use
   */
  #place(tracks, top, share) {
    let y = top;
    for (const track of tracks) {
      const height = track.height + share * (track.most - track.height);
      this.rows.push({ track, box: { y, height } });
      y += height + GAP;
    }
  }

  /**
   * @param {number} width
   * @param {number} height
   */
  #resize(width, height) {
    const ratio = devicePixelRatio || 1;
    if (this.width === width && this.height === height && this.#ratio === ratio) return;
    for (const { canvas } of [this.base, this.overlay]) {
      canvas.width = Math.round(width * ratio);
      canvas.height = Math.round(height * ratio);
      canvas.style.width = `${width}px`;
      canvas.style.height = `${height}px`;
    }
    Object.assign(this, { width, height });
    this.#ratio = ratio;
  }

  paint() {
    this.#soon("base", () => this.#paintBase());
    this.paintOverlay();
  }

  paintOverlay() {
    this.#soon("overlay", () => this.#paintOverlay());
  }

  /**
   * @param {string} what
   * @param {() => void} paint
   */
  #soon(what, paint) {
    if (this.#waiting.has(what)) return;
    this.#waiting.add(what);
    requestAnimationFrame(() => {
      this.#waiting.delete(what);
      if (this.store.video && this.width) paint();
    });
  }

  // Seconds per pixel.
  get scale() {
    return this.view.length / (this.right - this.left);
  }

  /** @param {CanvasRenderingContext2D} context */
  #painter(context) {
    context.setTransform(this.#ratio, 0, 0, this.#ratio, 0, 0);
    context.clearRect(0, 0, this.width, this.height);
    return new Painter(context, this.view, this.left, this.right, this.colours);
  }

  // Paint tracks in the part of the canvas that is theirs.
  /**
   * @param {Painter} painter
   * @param {number} left
   * @param {number} right
   * @param {(track: Track, box: Box) => void} paint
   */
  #eachTrack(painter, left, right, paint) {
    const { height, rows } = this, inner = height - this.#top - this.#bottom;
    painter.clipped(left, 0, right - left, height - this.#bottom, () => {
      for (const { track, box } of rows.filter((row) => row.track.pin === "top")) paint(track, box);
    });
    painter.clipped(left, this.#top - 2, right - left, inner + 4, () => {
      for (const { track, box } of rows.filter((row) => !row.track.pin)) paint(track, box);
    });
    painter.clipped(left, height - this.#bottom, right - left, this.#bottom, () => {
      for (const { track, box } of rows.filter((row) => row.track.pin === "bottom")) paint(track, box);
    });
  }

  #paintBase() {
    const painter = this.#painter(this.base);
    this.#eachTrack(painter, this.left, this.right, (track, box) => track.paint(painter, box));
    this.#eachTrack(painter, 0, this.left, (track, box) => this.#paintName(painter, track, box));
  }

  /**
   * @param {Painter} painter
   * @param {Track} track
   * @param {Box} box
   */
  #paintName(painter, track, { y, height }) {
    const { name, letter } = track;
    if (letter) painter.text(letter.text, 6, y + 12, { colour: letter.colour, weight: "700" });
    if (name) painter.text(name, this.left - 8, y + Math.min(height / 2 + 4, 14), { align: "right" });
    track.paintName?.(painter, { y, height });
  }

  #paintOverlay() {
    const painter = this.#painter(this.overlay), { hovered } = this;
    this.#eachTrack(painter, this.left, this.right, (track, box) => {
      track.paintOver?.(painter, box);
      const { segment, box: inner } = hovered ?? {};
      if (hovered?.track.kind === track.kind && segment && inner && this.rowOf(hovered)?.track === track) {
        painter.outline(segment, box.y + inner.y, inner.height);
      }
    });
    const { range, time } = this.player, foot = this.height - this.#bottom;
    painter.clipped(this.left - 6, 0, this.right - this.left + 12, foot, () => {
      if (range) this.#range(painter, range, foot);
      this.#playhead(painter, painter.x(time), foot);
    });
  }

  // Mark the segment that is played alone.
  /**
   * @param {Painter} painter
   * @param {Span} range
   * @param {number} foot
   */
  #range(painter, range, foot) {
    painter.shade([range], 0, this.#top, "focus");
    painter.c.fillStyle = this.colours.focus;
    for (const seconds of [range.start, range.end]) painter.c.fillRect(painter.x(seconds) - 0.5, 0, 1, foot);
  }

  /**
   * @param {Painter} painter
   * @param {number} x
   * @param {number} foot
   */
  #playhead({ c, colours }, x, foot) {
    c.fillStyle = colours.ink;
    c.fillRect(x - 0.75, this.#top - 8, 1.5, foot - this.#top + 8);
    c.beginPath();
    c.moveTo(x - 6, this.#top - 14);
    c.lineTo(x + 6, this.#top - 14);
    c.lineTo(x, this.#top - 6);
    c.fill();
  }

  /** @param {TrackHit} hit */
  rowOf(hit) {
    return this.rows.find(({ track }) => track === hit.track);
  }

  /**
   * Return what is at a point.
   * @param {number} x
   * @param {number} y
   * @param {number} reach pixels
   * @returns {TrackHit | null}
   */
  hit(x, y, reach = 6) {
    const isPinned = y < this.#top || y >= this.height - this.#bottom;
    const row = this.rows.find(({ track, box }) =>
      Boolean(track.pin) === isPinned && y >= box.y - GAP / 2 && y < box.y + box.height + GAP / 2);
    if (!row) return null;
    const seconds = this.scrubber.seconds(x), inner = clip(y - row.box.y, 0, row.box.height - 0.5);
    return { ...row.track.hit?.({ seconds, y: inner, reach: reach * this.scale }, row.box), track: row.track };
  }
}
