// A run's three curves of one video, loaded in tiles of the current zoom level.

// Lowest and highest value of action, start and end per column.
class Columns {
  constructor(curves, level) {
    Object.assign(this, { curves, level, size: 2 ** level });
  }

  low(curve, column) {
    return this.#at(0, curve, column);
  }

  high(curve, column) {
    return this.#at(1, curve, column);
  }

  #at(extreme, curve, column) {
    const width = this.curves.tile;
    const tile = this.curves.tiles.get(`${this.level}/${Math.floor(column / width)}`);
    const count = tile.length / 6;
    return tile[(3 * extreme + curve) * count + (column % width)];
  }
}

export class Curves {
  tiles = new Map();
  #asked = new Set();
  #fetch;
  #arrived;

  // fetch(level, tile) returns a promise of (2, 3, n) values.
  constructor({ cells, levels, tile, span }, fetch, arrived) {
    Object.assign(this, { cells, levels, tile, span });
    this.#fetch = fetch;
    this.#arrived = arrived;
  }

  // The coarsest level, drawn until finer tiles are loaded.
  async load() {
    await this.#get(this.levels - 1, 0);
  }

  // Return columns for a span that is `width` pixels wide, or null before any are loaded.
  columns(from, to, width) {
    const cells = ((to - from) / this.span) * this.cells;
    const wanted = Math.round(Math.log2(Math.max(cells / width, 1)));
    for (let level = Math.min(wanted, this.levels - 1); level < this.levels; level += 1) {
      const missing = this.#needed(level, from, to).filter((t) => !this.tiles.has(`${level}/${t}`));
      if (!missing.length) return new Columns(this, level);
      for (const tile of missing) this.#get(level, tile).then(this.#arrived, () => {});
    }
    return null;
  }

  // First and last column of a level in a span.
  range(level, from, to) {
    const size = 2 ** level, perSecond = this.cells / this.span / size;
    const last = Math.ceil(this.cells / size) - 1;
    const clip = (column) => Math.min(Math.max(column, 0), last);
    return [clip(Math.floor(from * perSecond) - 1), clip(Math.ceil(to * perSecond) + 1)];
  }

  #needed(level, from, to) {
    const [first, last] = this.range(level, from, to).map((c) => Math.floor(c / this.tile));
    return Array.from({ length: last - first + 1 }, (_, i) => first + i);
  }

  async #get(level, tile) {
    const key = `${level}/${tile}`;
    if (this.#asked.has(key)) return;
    this.#asked.add(key);
    try {
      this.tiles.set(key, await this.#fetch(level, tile));
    } catch (error) {
      this.#asked.delete(key); // the next look asks again
      throw error;
    }
  }
}
