// Pointer actions on the timeline: tracks say what a press does; two fingers and the wheel zoom.

/** @import { Gesture, TrackHit } from "./types.js" */
/** @import { Timeline } from "./timeline.js" */

const FAR = 4; // pixels that make a drag of a click

/** @typedef {{ x: number, y: number }} Point */

export class Pointer {
  /** @type {Map<number, Point>} pointers that are down */
  #down = new Map();
  /** @type {Gesture | null} */
  #gesture = null;
  /** @type {{ apart: number, middle: number } | null} */
  #pinch = null;
  #begin = { x: 0, moved: false };

  /**
   * @param {Timeline} timeline
   * @param {(segment: TrackHit | null, point: Point, hit: TrackHit | null) => void} hovered
   */
  constructor(timeline, hovered) {
    this.timeline = timeline;
    this.hovered = hovered;
    const area = timeline.overlay.canvas;
    this.area = area;
    area.addEventListener("pointerdown", (event) => this.#press(event));
    area.addEventListener("pointermove", (event) => this.#move(event));
    area.addEventListener("pointerup", (event) => this.#release(event, false));
    area.addEventListener("pointercancel", (event) => this.#release(event, true));
    area.addEventListener("pointerleave", () => this.#hover(null, { x: 0, y: 0 }));
    area.addEventListener("wheel", (event) => this.#wheel(event), { passive: false });
  }

  /**
   * @param {MouseEvent} event
   * @returns {Point}
   */
  #point(event) {
    const box = this.area.getBoundingClientRect();
    return { x: event.clientX - box.left, y: event.clientY - box.top };
  }

  /** @param {PointerEvent} event */
  #press(event) {
    if (event.button !== 0) return;
    const point = this.#point(event);
    this.#down.set(event.pointerId, point);
    this.area.setPointerCapture(event.pointerId);
    if (this.#down.size === 2) {
      this.cancel();
      this.#pinch = this.#fingers();
      return;
    }
    const touch = event.pointerType === "touch";
    this.#begin = { x: point.x, moved: false };
    const hit = this.timeline.hit(point.x, point.y, touch ? 18 : 6);
    const press = { x: point.x, touch, shift: event.shiftKey };
    this.#gesture = hit && (hit.track.press?.(hit, press) ?? this.timeline.scrubber.scrub(press));
  }

  // End what the pointer does, without effect; return whether it did something.
  cancel() {
    const gesture = this.#gesture;
    this.#gesture = null;
    gesture?.cancel?.();
    return gesture !== null;
  }

  /** @param {PointerEvent} event */
  #move(event) {
    const point = this.#point(event);
    if (!this.#down.has(event.pointerId)) {
      this.#hover(this.timeline.hit(point.x, point.y), point);
      return;
    }
    this.#down.set(event.pointerId, point);
    if (this.#pinch) this.#stretch(this.#pinch);
    else if (this.#gesture) {
      this.#begin.moved ||= Math.abs(point.x - this.#begin.x) > FAR;
      if (this.#begin.moved) this.#gesture.move(point.x, event.altKey);
    }
  }

  /**
   * @param {PointerEvent} event
   * @param {boolean} isCancelled
   */
  #release(event, isCancelled) {
    const point = this.#down.get(event.pointerId);
    if (!point) return;
    this.#down.delete(event.pointerId);
    if (this.#pinch) {
      if (this.#down.size < 2) this.#pinch = null;
      return;
    }
    if (isCancelled) this.cancel();
    const gesture = this.#gesture;
    this.#gesture = null;
    gesture?.end(this.#begin.moved, point.x, event.altKey);
  }

  #fingers() {
    const [a, b] = [...this.#down.values()].map((point) => point.x);
    return { apart: Math.max(Math.abs(a - b), 20), middle: (a + b) / 2 };
  }

  // The times under two fingers stay under them.
  /** @param {{ apart: number, middle: number }} before */
  #stretch(before) {
    const now = this.#fingers(), { view, scale, scrubber } = this.timeline;
    view.pan(scale * (before.middle - now.middle));
    view.zoom(before.apart / now.apart, scrubber.seconds(now.middle));
    this.#pinch = now;
  }

  /** @param {WheelEvent} event */
  #wheel(event) {
    const { view, scale, scrubber, left } = this.timeline;
    const unit = event.deltaMode === WheelEvent.DOM_DELTA_LINE ? 16 : 1;
    const { x } = this.#point(event);
    if (x < left) return; // over the names, the tracks scroll
    if (event.shiftKey || Math.abs(event.deltaX) > Math.abs(event.deltaY)) {
      if (view.isWhole) return;
      event.preventDefault();
      view.pan((event.deltaX || event.deltaY) * unit * scale);
      return;
    }
    if (view.isWhole && event.deltaY > 0 && !event.ctrlKey) return; // nothing to zoom: the tracks scroll
    event.preventDefault();
    view.zoom(Math.exp(event.deltaY * unit * (event.ctrlKey ? 0.01 : 0.0022)), scrubber.seconds(x));
  }

  /**
   * @param {TrackHit | null} hit
   * @param {Point} point
   */
  #hover(hit, point) {
    this.area.style.cursor = hit?.cursor ?? "";
    const found = hit?.segment ? hit : null, { timeline } = this;
    if (found?.segment !== timeline.hovered?.segment) timeline.paintOverlay();
    timeline.hovered = found;
    this.hovered(found, point, hit);
  }
}
