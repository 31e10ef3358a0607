// Pictures of a video over any range, loaded in sheets: each covers 16 steps of a power of two.

/** @import { Filmstrip as Strip } from "./types.js" */

const PICTURES = 16; // of a sheet
const KEPT = 48; // sheets
const PAUSE = 150; // milliseconds without a change of the zoom before sheets are requested
const FINEST = -5; // a step of 1/32 s

/**
 * @typedef {{ image: ImageBitmap, strip: Strip }} Sheet
 * @typedef {{ image: ImageBitmap, x: number, y: number, width: number, height: number }} Picture
 * @typedef {(start: number, end: number, count: number, height: number, signal: AbortSignal) => Promise<Sheet>} Request
 */

export class Filmstrip {
  /** @type {Map<string, Sheet>} the most recently used last */
  #sheets = new Map();
  /** @type {Map<string, { level: number, index: number }>} */
  #wanted = new Map();
  #timer = 0;
  #loading = false;
  #closing = new AbortController();
  ratio = 16 / 9; // width of a picture by its height

  /**
   * @param {number} height pixels of the pictures
   * @param {Request} request
   * @param {() => void} arrived
   * @param {(error: unknown) => boolean} failed returns whether to try again
   */
  constructor(height, request, arrived, failed) {
    this.height = height;
    this.request = request;
    this.arrived = arrived;
    this.failed = failed;
  }

  close() {
    clearTimeout(this.#timer);
    this.#closing.abort();
  }

  /**
   * Return the level, the power of two of seconds, at which pictures are as wide as `pixels` or less.
   * @param {number} scale seconds per pixel
   * @param {number} pixels
   */
  level(scale, pixels) {
    return Math.max(Math.floor(Math.log2(scale * pixels)), FINEST);
  }

  /**
   * Return the picture of a step, of a coarser level while it is not loaded, or null.
   * @param {number} level
   * @param {number} step
   * @param {number} coarsest level
   * @returns {Picture | null}
   */
  picture(level, step, coarsest) {
    this.#want(level, Math.floor(step / PICTURES));
    for (let up = 0; level + up <= coarsest; up += 1) {
      const index = Math.floor(step / 2 ** up);
      const sheet = this.#sheets.get(`${level + up}/${Math.floor(index / PICTURES)}`);
      if (sheet) return cut(sheet, index % PICTURES);
    }
    return null;
  }

  /**
   * @param {number} level
   * @param {number} index
   */
  #want(level, index) {
    const key = `${level}/${index}`, known = this.#sheets.get(key);
    if (known) {
      this.#sheets.delete(key);
      this.#sheets.set(key, known);
    } else if (!this.#wanted.has(key)) {
      this.#wanted.set(key, { level, index });
      this.#soon(this.#sheets.size ? PAUSE : 0);
    }
  }

  // Forget what was wanted at another zoom; paintings want it again.
  restart() {
    if (!this.#loading) this.#wanted.clear();
  }

  /** @param {number} pause milliseconds */
  #soon(pause) {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#load(), pause);
  }

  async #load() {
    if (this.#loading || this.#closing.signal.aborted) return;
    this.#loading = true;
    const wanted = [...this.#wanted];
    let pause = PAUSE, isUsable = true;
    for (const [key, { level, index }] of wanted) {
      try {
        this.#keep(key, await this.#sheet(level, index));
        this.arrived();
      } catch (error) {
        if (this.#closing.signal.aborted) return;
        isUsable = this.failed(error);
        pause = 2000;
        break;
      }
    }
    this.#loading = false;
    const isBehind = [...this.#wanted.keys()].some((key) => !this.#sheets.has(key));
    for (const [key] of wanted) this.#wanted.delete(key);
    if (isUsable && isBehind) {
      this.#soon(pause);
      this.arrived(); // the painting wants what is visible now
    }
  }

  /**
   * @param {number} level
   * @param {number} index
   */
  #sheet(level, index) {
    const length = PICTURES * 2 ** level;
    return this.request(index * length, (index + 1) * length, PICTURES, this.height, this.#closing.signal);
  }

  /**
   * @param {string} key
   * @param {Sheet} sheet
   */
  #keep(key, sheet) {
    this.#sheets.set(key, sheet);
    this.ratio = sheet.strip.width / sheet.strip.height;
    for (const oldest of this.#sheets.keys()) {
      if (this.#sheets.size <= KEPT) break;
      this.#sheets.delete(oldest);
    }
  }
}

/**
 * @param {Sheet} sheet
 * @param {number} number of the picture
 * @returns {Picture | null} null if there is no frame
 */
function cut({ image, strip: { width, height, columns, times } }, number) {
  if (typeof times[number] !== "number") return null;
  return { image, width, height, x: (number % columns) * width, y: Math.floor(number / columns) * height };
}
