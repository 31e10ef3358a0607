// The visible span of the video, and its changes.

const SHORTEST = 0.5; // seconds across the timeline

export class View extends EventTarget {
  seconds = 1;
  from = 0;
  to = 1;

  open(seconds) {
    this.seconds = Math.max(seconds || 0, SHORTEST);
    this.show(0, this.seconds);
  }

  get length() {
    return this.to - this.from;
  }

  get isWhole() {
    return this.length >= this.seconds - 1e-9;
  }

  show(from, to) {
    const length = Math.min(Math.max(to - from, Math.min(SHORTEST, this.seconds)), this.seconds);
    this.from = Math.min(Math.max(from, 0), this.seconds - length);
    this.to = this.from + length;
    this.dispatchEvent(new Event("change"));
  }

  // A factor > 1 shows more; the time `at` keeps its place.
  zoom(factor, at = (this.from + this.to) / 2) {
    const length = Math.min(this.length * factor, this.seconds);
    const share = (at - this.from) / this.length;
    this.show(at - share * length, at + (1 - share) * length);
  }

  pan(seconds) {
    this.show(this.from + seconds, this.to + seconds);
  }

  // Move so that a time or a segment is visible.
  reveal(start, end = start) {
    if (start >= this.from && end <= this.to) return;
    const length = Math.max(this.length, (end - start) * 1.2);
    const middle = (start + end) / 2;
    this.show(middle - length / 2, middle + length / 2);
  }
}
