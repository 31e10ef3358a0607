// The position in the video: that of a <video>, or of a clock if there is none.

/** @import { Span } from "./types.js" */

import { clip } from "./segments.js";

/**
 * Events: "move" (the position), "state" (playing or paused), "range" (one segment is played, or no
 * longer), "unplayable", and "length" (the file's duration is known).
 */
export class Player extends EventTarget {
  #at = 0; // seconds
  #since = 0; // performance.now() at which the position was #at
  #running = false;
  /** @type {(Span & { loops: boolean }) | null} the segment that is played alone */
  #range = null;
  /** @type {number | null} time to seek to when the <video> is ready */
  #pending = null;
  #element;
  rate = 1;
  loop = false;
  seconds = 0;
  hasVideo = false;

  /** @param {HTMLVideoElement} element */
  constructor(element) {
    super();
    this.#element = element;
    element.addEventListener("seeked", () => this.#seekNext());
    element.addEventListener("play", () => this.#start());
    element.addEventListener("pause", () => this.#stopped());
    element.addEventListener("ended", () => this.#fileEnded());
    element.addEventListener("error", () => this.#withoutVideo());
    element.addEventListener("loadedmetadata", () => {
      this.#announce("length");
      this.#seekNext();
    });
  }

  /**
   * @param {number} seconds
   * @param {string | null} url of the video, if there is one
   */
  open(seconds, url) {
    this.pause();
    this.leaveRange();
    this.#pending = null;
    this.seconds = seconds;
    this.#at = 0;
    this.hasVideo = url !== null;
    if (url !== null) this.#element.src = url;
    else if (this.#element.hasAttribute("src")) {
      this.#element.removeAttribute("src");
      this.#element.load();
    }
    this.#announce("move");
  }

  get time() {
    return this.#at;
  }

  get isPaused() {
    return !this.#running;
  }

  get range() {
    return this.#range;
  }

  // The duration of the file, 0 if it is unknown.
  get fileSeconds() {
    const { duration } = this.#element;
    return this.hasVideo && Number.isFinite(duration) ? duration : 0;
  }

  /** @param {number} seconds */
  seek(seconds) {
    this.#at = clip(seconds, 0, this.seconds);
    this.#since = performance.now();
    if (this.hasVideo) {
      this.#pending = this.#at;
      this.#seekNext();
    }
    this.#announce("move");
  }

  /**
   * Seek because of the user, which ends the playback of one segment.
   * @param {number} seconds
   */
  goTo(seconds) {
    this.leaveRange();
    this.seek(seconds);
  }

  // Play the whole video from here on; return whether one segment was played.
  leaveRange() {
    if (!this.#range) return false;
    this.#setRange(null);
    return true;
  }

  /** @param {(Span & { loops: boolean }) | null} range */
  #setRange(range) {
    this.#range = range;
    this.#announce("range");
  }

  // One seek at a time: a decoder with a request per pixel of a drag would never finish.
  #seekNext() {
    if (this.#pending === null || this.#element.seeking || this.#element.readyState < 1) return;
    const wanted = this.#pending;
    this.#pending = null;
    if (Math.abs(this.#element.currentTime - wanted) > 1e-3) this.#element.currentTime = wanted;
  }

  toggle() {
    if (this.#running) this.pause();
    else this.play();
  }

  // Play from here on, or the one segment again.
  play() {
    const range = this.#range;
    const isOutside = range && (this.#at < range.start || this.#at >= range.end - 0.01);
    if (isOutside) this.seek(range.start);
    else if (this.#at >= this.seconds - 0.01) this.seek(0);
    if (!this.hasVideo) this.#start();
    else {
      this.#element.playbackRate = this.rate;
      this.#element.play().catch(() => this.pause());
    }
  }

  /**
   * Play only a segment from now on.
   * @param {Span} segment
   * @param {boolean} [loops] again and again
   */
  limit({ start, end }, loops = false) {
    this.#setRange({ start, end, loops });
  }

  /** @param {Span} segment */
  playOnly({ start, end }) {
    this.limit({ start, end });
    this.seek(start);
    this.play();
  }

  pause() {
    if (this.hasVideo) this.#element.pause();
    this.#stopped();
  }

  /** @param {number} rate */
  setRate(rate) {
    this.#follow();
    this.rate = rate;
    if (this.hasVideo) this.#element.playbackRate = rate;
  }

  #start() {
    if (this.#running) return;
    this.#running = true;
    this.#since = performance.now();
    this.#announce("state");
    const step = () => {
      if (!this.#running) return;
      this.#follow();
      requestAnimationFrame(step);
    };
    requestAnimationFrame(step);
  }

  #stopped() {
    if (!this.#running) return;
    this.#running = false;
    this.#announce("state");
  }

  #follow() {
    if (!this.#running) return;
    const now = performance.now();
    if (!this.hasVideo) this.#at += ((now - this.#since) / 1000) * this.rate;
    else if (this.#pending === null && !this.#element.seeking) this.#at = this.#element.currentTime;
    this.#since = now;
    const end = this.#range?.end ?? this.seconds;
    if (this.#at >= end) this.#ended(end);
    this.#announce("move");
  }

  get #isLooping() {
    return this.loop || Boolean(this.#range?.loops);
  }

  // The file may end a little before the segment or the length that is shown.
  #fileEnded() {
    if (!this.#isLooping) return;
    this.seek(this.#range?.start ?? 0);
    this.play();
  }

  /** @param {number} end */
  #ended(end) {
    if (this.#isLooping) {
      this.seek(this.#range?.start ?? 0);
      return;
    }
    this.pause();
    this.seek(end);
  }

  #withoutVideo() {
    if (!this.hasVideo || !this.#element.hasAttribute("src")) return;
    this.hasVideo = false;
    this.#announce("unplayable");
  }

  /** @param {"move" | "state" | "range" | "unplayable" | "length"} what */
  #announce(what) {
    this.dispatchEvent(new Event(what));
  }
}
