// The position in the video: that of a <video>, or of a clock if there is none.

export class Player extends EventTarget {
  #at = 0; // seconds
  #since = 0; // performance.now() at which the position was #at
  #running = false;
  #range = null;
  #pending = null; // time to seek to when the <video> is loaded
  #element;
  rate = 1;
  loop = false;
  seconds = 0;
  hasVideo = false;

  constructor(element) {
    super();
    this.#element = element;
    element.addEventListener("seeked", () => this.#seekOn());
    element.addEventListener("play", () => this.#start());
    element.addEventListener("pause", () => this.#stopped());
    element.addEventListener("error", () => this.#withoutVideo());
    element.addEventListener("loadedmetadata", () => this.#seekOn());
  }

  // `url` is that of the video, or null.
  open(seconds, url) {
    this.pause();
    this.#range = null;
    this.#pending = null;
    this.seconds = seconds;
    this.#at = 0;
    this.hasVideo = url !== null;
    if (url !== null) this.#element.src = url;
    else if (this.#element.hasAttribute("src")) {
      this.#element.removeAttribute("src");
      this.#element.load();
    }
    this.#tell("move");
  }

  get time() {
    return this.#at;
  }

  get paused() {
    return !this.#running;
  }

  seek(seconds) {
    this.#at = Math.min(Math.max(seconds, 0), this.seconds);
    this.#since = performance.now();
    if (this.hasVideo) {
      this.#pending = this.#at;
      this.#seekOn();
    }
    this.#tell("move");
  }

  // Seek because of the user, which ends the playback of a single segment.
  goTo(seconds) {
    this.#range = null;
    this.seek(seconds);
  }

  // One seek at a time: a decoder with a request per pixel of a drag would never finish.
  #seekOn() {
    if (this.#pending === null || this.#element.seeking || this.#element.readyState < 1) return;
    const wanted = this.#pending;
    this.#pending = null;
    if (Math.abs(this.#element.currentTime - wanted) > 1e-3) this.#element.currentTime = wanted;
  }

  toggle() {
    if (this.#running) this.pause();
    else this.play(this.#range);
  }

  // Play from here on, or one segment from its start to its end.
  play(range = null) {
    this.#range = range;
    const outside = range && (this.#at < range.start || this.#at >= range.end - 0.01);
    if (outside) this.seek(range.start);
    else if (this.#at >= this.seconds - 0.01) this.seek(0);
    if (this.hasVideo) {
      this.#element.playbackRate = this.rate;
      this.#element.play().catch(() => this.pause());
    } else this.#start();
  }

  playOnly(segment) {
    this.seek(segment.start);
    this.play({ start: segment.start, end: segment.end });
  }

  pause() {
    if (this.hasVideo) this.#element.pause();
    this.#stopped();
  }

  setRate(rate) {
    this.#follow();
    this.rate = rate;
    if (this.hasVideo) this.#element.playbackRate = rate;
  }

  #start() {
    if (this.#running) return;
    this.#running = true;
    this.#since = performance.now();
    this.#tell("state");
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
    this.#tell("state");
  }

  #follow() {
    if (!this.#running) return;
    const now = performance.now();
    if (!this.hasVideo) this.#at += ((now - this.#since) / 1000) * this.rate;
    else if (this.#pending === null && !this.#element.seeking) this.#at = this.#element.currentTime;
    this.#since = now;
    const end = this.#range?.end ?? this.seconds;
    if (this.#at >= end) this.#ended(end);
    this.#tell("move");
  }

  #ended(end) {
    if (this.loop) {
      this.seek(this.#range?.start ?? 0);
      return;
    }
    this.pause();
    this.seek(end);
  }

  #withoutVideo() {
    if (!this.hasVideo || !this.#element.hasAttribute("src")) return;
    this.hasVideo = false;
    this.#tell("unplayable");
  }

  #tell(what) {
    this.dispatchEvent(new Event(what));
  }
}
