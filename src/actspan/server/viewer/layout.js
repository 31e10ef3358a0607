// Parts of the page that can be resized or hidden: the list of videos and the timeline.

/** @import { Store } from "./store.js" */
/** @import { Timeline } from "./timeline.js" */

import { byId, field } from "./dom.js";
import { forget, recall, remember } from "./remember.js";
import { clip } from "./segments.js";

const SHORTEST = 120, ABOVE = 280, STEP = 20; // pixels
const wide = matchMedia("(min-width: 64rem)");

// The link that skips to the timeline; following it would change the address of the video.
export function skipLink() {
  byId("skip").addEventListener("click", (event) => {
    event.preventDefault();
    byId("overlay").focus();
  });
}

// The list of videos: beside the workspace on wide screens, above it on others.
export function drawer() {
  const open = byId("open-list");
  /** @param {boolean} isOpen */
  const show = (isOpen) => {
    document.body.classList.toggle("listing", isOpen);
    open.setAttribute("aria-expanded", String(isOpen));
  };
  const isShown = () => document.body.classList.contains("listing");
  const restore = () => show(wide.matches && recall("list") !== "closed");
  open.addEventListener("click", () => {
    show(!isShown());
    if (wide.matches) remember("list", isShown() ? "open" : "closed");
    else if (isShown()) field("find").focus();
  });
  byId("side").addEventListener("keydown", (event) => {
    if (event.key !== "Escape" || wide.matches || !isShown()) return;
    show(false);
    open.focus();
  });
  wide.addEventListener("change", restore);
  restore();
  return {
    open: () => show(true),
    close: () => wide.matches || show(false),
  };
}

/** The height of the timeline, which the user may change by the bar above it. */
export class Splitter {
  #bar = byId("splitter");
  #chosen = Number(recall("timeline")) || 0; // pixels, 0: as high as the tracks need

  /**
   * @param {Store} store
   * @param {Timeline} timeline
   */
  constructor(store, timeline) {
    this.timeline = timeline;
    store.on(["video", "runs", "media"], () => this.apply());
    addEventListener("resize", () => this.apply());
    this.#bar.addEventListener("pointerdown", (event) => this.#press(event));
    this.#bar.addEventListener("keydown", (event) => this.#key(event));
    this.#bar.addEventListener("dblclick", () => this.#choose(0));
    matchMedia("print").addEventListener("change", () => this.apply());
    addEventListener("beforeprint", () => this.apply());
    addEventListener("afterprint", () => this.apply());
  }

  get #most() {
    return Math.max(innerHeight - ABOVE, SHORTEST);
  }

  get #height() {
    const { needed } = this.timeline;
    if (matchMedia("print").matches) return needed;
    const automatic = Math.min(needed, innerHeight * (document.body.classList.contains("no-picture") ? 0.6 : 0.45));
    return Math.round(clip(this.#chosen || automatic, SHORTEST, this.#most));
  }

  apply() {
    const height = this.#height;
    this.timeline.room.style.height = `${height}px`;
    this.#bar.setAttribute("aria-valuemin", String(SHORTEST));
    this.#bar.setAttribute("aria-valuemax", String(this.#most));
    this.#bar.setAttribute("aria-valuenow", String(height));
    this.#bar.setAttribute("aria-valuetext", `${height} pixels`);
    this.timeline.layout();
  }

  /** @param {number} height 0: as high as the tracks need */
  #choose(height) {
    this.#chosen = height && clip(height, SHORTEST, this.#most);
    if (height) remember("timeline", this.#chosen);
    else forget("timeline");
    this.apply();
  }

  /** @param {PointerEvent} event */
  #press(event) {
    const bar = this.#bar, begin = event.clientY, height = this.#height;
    event.preventDefault();
    bar.focus();
    bar.setPointerCapture(event.pointerId);
    const move = (/** @type {PointerEvent} */ now) => this.#choose(height + begin - now.clientY);
    bar.addEventListener("pointermove", move);
    bar.addEventListener("lostpointercapture", () => bar.removeEventListener("pointermove", move), { once: true });
  }

  /** @param {KeyboardEvent} event */
  #key(event) {
    const height = this.#height;
    /** @type {Record<string, number>} */
    const heights = {
      ArrowUp: height + STEP, ArrowDown: height - STEP, PageUp: height + 5 * STEP, PageDown: height - 5 * STEP,
      Home: SHORTEST, End: this.#most, Enter: 0,
    };
    if (!(event.key in heights)) return;
    event.preventDefault();
    event.stopPropagation();
    this.#choose(heights[event.key]);
  }
}
