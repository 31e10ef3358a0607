// Content of the shown video's file: its frames, its filmstrip and its sound.

/** @import { Store } from "./store.js" */

import * as api from "./api.js";
import { Curves } from "./curves.js";
import { Filmstrip } from "./filmstrip.js";
import { Frames } from "./frames.js";

const HEIGHT = 44; // pixels of the pictures
const AGAIN = 2000; // milliseconds until a busy service is asked again

export class Media {
  /** @type {Frames | null} */
  frames = null;
  /** @type {Filmstrip | null} */
  film = null;
  /** @type {Curves | null} null if there is no sound */
  sound = null;
  #closing = new AbortController();

  /** @param {Store} store */
  constructor(store) {
    this.store = store;
    store.on("video", () => this.#open());
  }

  /**
   * Return the time of the nearest frame, or the same time if the frames are not known.
   * @param {number} seconds
   */
  snap(seconds) {
    return this.frames ? this.frames.snap(seconds) : seconds;
  }

  #open() {
    this.#closing.abort();
    this.film?.close();
    this.frames = this.film = this.sound = null;
    this.#closing = new AbortController();
    const { video, editor } = this.store;
    if (!video?.has_media || !editor) return; // files of jobs are only in the browser
    const { id } = video, { signal } = this.#closing;
    this.film = new Filmstrip(
      Math.round(HEIGHT * Math.min(devicePixelRatio || 1, 2)),
      async (start, end, count, height, closing) => {
        const strip = await api.filmstrip({ id, start, end, count, height }, closing);
        return { strip, image: await api.picture(strip.image, closing) };
      },
      () => this.store.emit("picture"),
      (error) => this.#failed(error),
    );
    this.#loadFrames(id, signal);
  }

  // Keep the filmstrip if the service was only busy; a file that cannot be read has none.
  /** @param {unknown} error */
  #failed(error) {
    if (isTemporary(error)) return true;
    this.film?.close();
    this.film = null;
    this.store.emit("media");
    return false;
  }

  /**
   * @param {string} id
   * @param {AbortSignal} signal
   */
  #loadFrames(id, signal) {
    return this.#try(signal, async () => {
      const grid = await api.frames(id, signal);
      const times = grid.is_variable ? await allTimes(id, grid.frames, signal) : null;
      if (signal.aborted) return;
      this.frames = new Frames(grid, times);
      this.#loadSound(id, signal); // not of a file that cannot be read
    });
  }

  /**
   * @param {string} id
   * @param {AbortSignal} signal
   */
  #loadSound(id, signal) {
    return this.#try(signal, async () => {
      const about = await api.waveform(id, signal);
      if (signal.aborted || !about.has_sound) return;
      const { intervals: cells, levels, tile, rate, version } = about;
      const request = (/** @type {number} */ level, /** @type {number} */ number) =>
        api.waveformTile({ id, level, tile: number, version });
      this.sound = new Curves(
        { cells, levels, tile, span: cells / rate }, request, () => this.store.emit("picture"), 1,
      );
      this.sound.load();
    });
  }

  /**
   * Load something; without it the page shows less, and says nothing.
   * @param {AbortSignal} signal
   * @param {() => Promise<void>} load
   */
  async #try(signal, load) {
    try {
      await load();
      if (!signal.aborted) this.store.emit("media");
    } catch (error) {
      if (isTemporary(error)) setTimeout(() => signal.aborted || this.#try(signal, load), AGAIN);
    }
  }
}

/** @param {unknown} error */
const isTemporary = (error) => error instanceof api.Refused && error.isTemporary;

/**
 * Return the times of all frames, requested in parts.
 * @param {string} id
 * @param {number} count
 * @param {AbortSignal} signal
 */
async function allTimes(id, count, signal) {
  const times = new Float64Array(count);
  for (let done = 0; done < count;) {
    const part = await api.frameTimes(id, done, signal);
    if (!part.length) break;
    times.set(part.subarray(0, count - done), done);
    done += part.length;
  }
  return times;
}
