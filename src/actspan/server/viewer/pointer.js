// Pointer actions on the timeline: scrub, zoom, pan, play a segment, draw and drag corrections.

const FAR = 4; // pixels that make a drag of a click
const SHORTEST = 0.05; // seconds of a segment that is drawn

export class Pointer {
  #pointers = new Map(); // those that are down: id -> {x, y}
  #gesture = null; // what a drag does: {move(x), end(moved, x), cancel()}
  #pinch = null;

  constructor(timeline, actions) {
    this.timeline = timeline;
    this.actions = actions; // scrub, playOnly, select, editor(), hover
    const area = timeline.overlay.canvas;
    area.addEventListener("pointerdown", (event) => this.#down(event));
    area.addEventListener("pointermove", (event) => this.#move(event));
    area.addEventListener("pointerup", (event) => this.#up(event));
    area.addEventListener("pointercancel", (event) => this.#up(event, true));
    area.addEventListener("pointerleave", () => this.#hover(null));
    area.addEventListener("wheel", (event) => this.#wheel(event), { passive: false });
    this.area = area;
  }

  #place(event) {
    const box = this.area.getBoundingClientRect();
    return { x: event.clientX - box.left, y: event.clientY - box.top };
  }

  #down(event) {
    if (event.button !== 0) return;
    const place = this.#place(event);
    this.#pointers.set(event.pointerId, place);
    this.area.setPointerCapture(event.pointerId);
    if (this.#pointers.size === 2) {
      this.#gesture?.cancel?.();
      this.#gesture = null;
      this.#pinch = this.#fingers();
      return;
    }
    const touch = event.pointerType === "touch";
    this.begin = { ...place, moved: false };
    const hit = this.timeline.hit(place.x, place.y, touch ? 18 : 6);
    this.#gesture = hit && this.#begin(hit, place.x, touch);
  }

  #begin(hit, x, touch) {
    if (hit.kind === "map") return this.#panning(x);
    if (hit.kind === "corrections") return hit.segment ? this.#dragging(hit, x) : this.#drawing(x);
    if (hit.segment) return this.#clicking(hit);
    return this.#scrubbing(x, touch);
  }

  // A touch may be the first of two, or scroll the page, so it must move or end first.
  #scrubbing(x, touch) {
    const go = (place) => this.actions.scrub(this.timeline.seconds(place));
    if (!touch) go(x);
    return { move: go, end: (moved) => moved || go(x) };
  }

  // A click plays the segment, a drag scrubs.
  #clicking(hit) {
    return {
      move: (x) => this.actions.scrub(this.timeline.seconds(x)),
      end: (moved) => moved || this.actions.playOnly(hit),
    };
  }

  #panning(x) {
    const { view, left, right } = this.timeline;
    const whole = (place) => ((place - left) / (right - left)) * view.seconds;
    const inside = whole(x) >= view.from && whole(x) <= view.to;
    const grip = inside ? whole(x) - view.from : view.length / 2;
    const move = (place) => view.show(whole(place) - grip, whole(place) - grip + view.length);
    if (!inside) move(x);
    return { move, end: () => {} };
  }

  #drawing(x) {
    const from = this.timeline.seconds(x);
    const draft = (place) => {
      const to = this.timeline.seconds(place);
      return { start: Math.min(from, to), end: Math.max(from, to), label: "" };
    };
    const show = (made) => {
      this.timeline.draft = made;
      this.timeline.paintOverlay();
    };
    return {
      move: (place) => show(draft(place)),
      cancel: () => show(null),
      end: (moved, place) => {
        const made = draft(place ?? x);
        show(null);
        if (!moved) this.actions.scrub(from);
        else if (made.end - made.start >= SHORTEST) this.actions.editor().add(made.start, made.end);
      },
    };
  }

  // Drag an edge, or the whole segment.
  #dragging(hit, x) {
    const { segment, index, edge } = hit;
    const editor = this.actions.editor();
    const before = { start: segment.start, end: segment.end };
    const grip = this.timeline.seconds(x);
    this.actions.select(index);
    const place = (to) => {
      Object.assign(segment, dragged(before, edge, to - grip, this.timeline.view.seconds));
      this.timeline.paint();
    };
    const putBack = () => {
      Object.assign(segment, before); // the editor makes the change, so that it can be undone
      this.timeline.paint();
    };
    return {
      move: (to) => place(this.timeline.seconds(to)),
      cancel: putBack,
      end: (moved) => {
        const after = { start: segment.start, end: segment.end };
        putBack();
        if (moved) editor.edit(index, after);
      },
    };
  }

  #move(event) {
    const place = this.#place(event);
    if (!this.#pointers.has(event.pointerId)) {
      this.#hover(this.timeline.hit(place.x, place.y), place);
      return;
    }
    this.#pointers.set(event.pointerId, place);
    if (this.#pinch) {
      this.#stretch();
    } else if (this.#gesture) {
      const far = Math.abs(place.x - this.begin.x) > FAR;
      this.begin.moved ||= far;
      if (this.begin.moved) this.#gesture.move(place.x);
    }
  }

  #up(event, cancelled = false) {
    const place = this.#pointers.get(event.pointerId);
    if (!place) return;
    this.#pointers.delete(event.pointerId);
    if (this.#pinch) {
      if (this.#pointers.size < 2) this.#pinch = null;
      return;
    }
    if (cancelled) this.#gesture?.cancel?.();
    else this.#gesture?.end(this.begin.moved, place.x);
    this.#gesture = null;
  }

  #fingers() {
    const [a, b] = [...this.#pointers.values()].map((p) => p.x);
    return { apart: Math.max(Math.abs(a - b), 20), middle: (a + b) / 2 };
  }

  // Two fingers: the times under them stay under them.
  #stretch() {
    const now = this.#fingers();
    const { view } = this.timeline;
    view.pan(this.timeline.perPixel() * (this.#pinch.middle - now.middle));
    view.zoom(this.#pinch.apart / now.apart, this.timeline.seconds(now.middle));
    this.#pinch = now;
  }

  #wheel(event) {
    const { view } = this.timeline;
    const unit = event.deltaMode === WheelEvent.DOM_DELTA_LINE ? 16 : 1;
    const sideways = event.shiftKey ? event.deltaY : event.deltaX;
    if (event.shiftKey || Math.abs(event.deltaX) > Math.abs(event.deltaY)) {
      if (view.isWhole) return;
      event.preventDefault();
      view.pan(sideways * unit * this.timeline.perPixel());
      return;
    }
    if (view.isWhole && event.deltaY > 0 && !event.ctrlKey) return; // nothing to zoom: the page scrolls
    event.preventDefault();
    const at = this.timeline.seconds(this.#place(event).x);
    view.zoom(Math.exp(event.deltaY * unit * (event.ctrlKey ? 0.01 : 0.0022)), at);
  }

  #hover(hit, place) {
    const found = hit?.segment ? hit : null;
    const edge = found?.kind === "corrections" && found.edge;
    this.area.style.cursor = edge ? "ew-resize" : found ? "pointer" : hit?.kind === "corrections" ? "crosshair" : "";
    if (found?.segment !== this.timeline.hovered?.segment) {
      this.timeline.hovered = found;
      this.timeline.paintOverlay();
    }
    this.actions.hover(found, place);
  }
}

// Return a segment after a drag by some seconds, inside the video and with start < end.
function dragged({ start, end }, edge, by, seconds) {
  const clip = (value, low, high) => Math.min(Math.max(value, low), high);
  if (edge === "start") return { start: clip(start + by, 0, end - SHORTEST), end };
  if (edge === "end") return { start, end: clip(end + by, start + SHORTEST, seconds) };
  const moved = clip(by, -start, Math.max(seconds - end, -start));
  return { start: start + moved, end: end + moved };
}
