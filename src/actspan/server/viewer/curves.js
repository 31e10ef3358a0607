// Curves over one video (a run's three, or its sound), loaded in tiles of the current zoom level.

/** @import { CurvesInfo } from "./types.js" */

import { clip } from "./segments.js";

/** Lowest and highest value of every curve per column of a zoom level, from `first` to `last` in view. */
export class Columns {
  /**
   * @param {Curves} curves
   * @param {number} level
   * @param {number} first
   * @param {number} last
   */
  constructor(curves, level, first, last) {
    this.curves = curves;
    this.level = level;
    this.first = first;
    this.last = last;
    this.seconds = (2 ** level * curves.span) / curves.cells; // of a column
  }

  /**
   * Return the time of the middle of a column.
   * @param {number} column
   */
  middle(column) {
    return Math.min((column + 0.5) * this.seconds, this.curves.span);
  }

  /**
   * @param {number} curve
   * @param {number} column
   */
  low(curve, column) {
    return this.#at(0, curve, column);
  }

  /**
   * @param {number} curve
   * @param {number} column
   */
  high(curve, column) {
    return this.#at(1, curve, column);
  }

  /**
   * @param {number} extreme
   * @param {number} curve
   * @param {number} column
   */
  #at(extreme, curve, column) {
    const width = this.curves.tile;
    const tile = this.curves.tiles.get(`${this.level}/${Math.floor(column / width)}`);
    if (!tile) return 0;
    const { rows } = this.curves, count = tile.length / (2 * rows);
    return tile[(rows * extreme + curve) * count + (column % width)];
  }
}

export class Curves {
  /** @type {Map<string, Float32Array>} */
  tiles = new Map();
  /** @type {Set<string>} */
  #requested = new Set();
  #request;
  #arrived;

  /**
   * @param {CurvesInfo} info
   * @param {(level: number, tile: number) => Promise<Float32Array>} request returns (2, rows, n) values
   * @param {() => void} arrived
   * @param {number} [rows] number of curves
   */
  constructor({ cells, levels, tile, span }, request, arrived, rows = 3) {
    this.rows = rows;
    this.cells = cells;
    this.levels = levels;
    this.tile = tile;
    this.span = span;
    this.#request = request;
    this.#arrived = arrived;
  }

  // Load the coarsest level, which is drawn until finer tiles are loaded.
  load() {
    this.#get(this.levels - 1, 0);
  }

  /**
   * Return columns for a span that is `width` pixels wide, or null before any are loaded.
   * @param {number} from
   * @param {number} to
   * @param {number} width
   */
  columns(from, to, width) {
    const cells = ((to - from) / this.span) * this.cells;
    const wanted = Math.round(Math.log2(Math.max(cells / width, 1)));
    for (let level = Math.min(wanted, this.levels - 1); level < this.levels; level += 1) {
      const [first, last] = this.#range(level, from, to);
      const missing = this.#tiles(first, last).filter((t) => !this.tiles.has(`${level}/${t}`));
      if (!missing.length) return new Columns(this, level, first, last);
      for (const tile of missing) this.#get(level, tile);
    }
    return null;
  }

  /**
   * Return the first and the last column of a level in a span.
   * @param {number} level
   * @param {number} from
   * @param {number} to
   */
  #range(level, from, to) {
    const size = 2 ** level, perSecond = this.cells / this.span / size;
    const last = Math.ceil(this.cells / size) - 1;
    return [clip(Math.floor(from * perSecond) - 1, 0, last), clip(Math.ceil(to * perSecond) + 1, 0, last)];
  }

  /**
   * Return the numbers of the tiles that have some columns.
   * @param {number} first
   * @param {number} last
   */
  #tiles(first, last) {
    const tile = Math.floor(first / this.tile);
    return Array.from({ length: Math.floor(last / this.tile) - tile + 1 }, (_, i) => tile + i);
  }

  /**
   * @param {number} level
   * @param {number} tile
   */
  async #get(level, tile) {
    const key = `${level}/${tile}`;
    if (this.#requested.has(key)) return;
    this.#requested.add(key);
    try {
      this.tiles.set(key, await this.#request(level, tile));
      this.#arrived();
    } catch {
      this.#requested.delete(key); // the next painting requests it again
    }
  }
}
