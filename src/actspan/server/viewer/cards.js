// Videos as cards on the home page; of thousands, only those in view are requested and drawn.

/** @import { ListedVideo } from "./types.js" */
/** @import { List } from "./list.js" */
/** @import { Store } from "./store.js" */

import { thumbnailUrl } from "./api.js";
import { byId, drawing, drawn, make } from "./dom.js";
import { aucOf, focusedIndex } from "./list.js";
import { clip } from "./segments.js";

const NARROWEST = 215, GAP = 10, PICTURE = 118, TEXT = 50, LANE = 8; // pixels

export class Cards {
  #room = byId("cards");
  #isWaiting = false;

  /**
   * @param {Store} store
   * @param {List} list
   */
  constructor(store, list) {
    this.store = store;
    this.list = list;
    list.alsoInView = () => (this.isShown ? this.#inView() : [0, 0]);
    list.addEventListener("change", () => this.#soon());
    document.addEventListener("scroll", () => this.#soon(), { capture: true, passive: true });
    this.#room.addEventListener("keydown", (event) => this.#key(event));
    new ResizeObserver(() => this.#soon()).observe(this.#room);
  }

  get isShown() {
    return this.#room.offsetParent !== null;
  }

  #soon() {
    if (this.#isWaiting || !this.isShown) return;
    this.#isWaiting = true;
    requestAnimationFrame(() => {
      this.#isWaiting = false;
      this.draw();
    });
  }

  get #columns() {
    return Math.max(Math.floor((this.#room.clientWidth + GAP) / (NARROWEST + GAP)), 1);
  }

  get #lanes() {
    return (this.store.about.ground_truth ? 1 : 0) + this.store.pair.length;
  }

  // Pixels from the top of a row to that of the next.
  get #pitch() {
    return (this.store.about.has_media ? PICTURE : 0) + TEXT + this.#lanes * LANE + GAP;
  }

  /** @returns {[first: number, last: number]} */
  #inView() {
    const top = -this.#room.getBoundingClientRect().top, columns = this.#columns, pitch = this.#pitch;
    const first = Math.max(Math.floor(top / pitch) - 1, 0) * columns;
    const last = Math.max(Math.ceil((top + innerHeight) / pitch) + 1, 1) * columns;
    return [Math.min(first, this.list.total), Math.min(last, this.list.total)];
  }

  draw() {
    if (!this.isShown) return;
    const [first, last] = this.#inView(), columns = this.#columns, focused = focusedIndex(this.#room);
    this.#room.style.height = `${Math.ceil(this.list.total / columns) * this.#pitch}px`;
    const wide = (this.#room.clientWidth + GAP) / columns;
    this.#room.replaceChildren(...Array.from({ length: Math.max(last - first, 0) }, (_, i) => {
      const index = first + i, card = this.#card(index);
      card.style.width = `${wide - GAP}px`;
      card.style.height = `${this.#pitch - GAP}px`;
      card.style.transform = `translate(${(index % columns) * wide}px, ${Math.floor(index / columns) * this.#pitch}px)`;
      return card;
    }));
    if (focused !== undefined) this.#focus(focused);
    this.list.need(first, last);
  }

  /** @param {number} index */
  #card(index) {
    const video = this.list.at(index), { item: card, link } = this.list.entry(index);
    if (!video || !link) return card;
    if (this.store.about.has_media) picture(link, video);
    this.#lines(link, video);
    this.list.describe(link, video, "card-name");
    const figures = aucOf(video, this.store.pair);
    if (figures) make(link, "span", { className: "row-auc" }, video.runs.length > 1 ? figures : `AUC ${figures}`);
    return card;
  }

  // Draw the first instances and the best proposals of each run on one axis.
  /**
   * @param {Element} parent
   * @param {ListedVideo} video
   */
  #lines(parent, video) {
    const { pair, about } = this.store;
    const bests = pair.map(({ number, colour }) => ({ colour, segments: video.runs[number]?.best ?? [] }));
    const truth = about.ground_truth ? [{ colour: "truth", segments: video.segments }] : [];
    const ends = [...truth, ...bests].flatMap(({ segments }) => segments.map(([, end]) => end));
    const seconds = Math.max(video.seconds ?? 0, ...ends, 0.1), lanes = [...truth, ...bests];
    const lines = drawing(parent, 1000, lanes.length * LANE || 1, {
      class: "lines", preserveAspectRatio: "none", "aria-hidden": "true", height: lanes.length * LANE,
    });
    lanes.forEach(({ colour, segments }, lane) => segments.forEach(([start, end], rank) => {
      const x = (start / seconds) * 1000, width = Math.max(((end - start) / seconds) * 1000, 4);
      const opacity = colour === "truth" ? 1 : Math.max(0.9 - 0.11 * rank, 0.15);
      drawn(lines, "rect", { class: `line ${colour}`, x, y: lane * LANE + 1, width, height: LANE - 2, opacity });
    }));
  }

  /** @param {number} index */
  #focus(index) {
    const link = this.#room.querySelector(`[data-index="${index}"]`);
    if (!(link instanceof HTMLElement)) return;
    link.focus({ preventScroll: true });
    link.scrollIntoView({ block: "nearest" });
  }

  /** @param {KeyboardEvent} event */
  #key(event) {
    const columns = this.#columns, now = focusedIndex(this.#room);
    /** @type {Record<string, number>} */
    const steps = {
      ArrowRight: 1, ArrowLeft: -1, ArrowDown: columns, ArrowUp: -columns, PageDown: 3 * columns, PageUp: -3 * columns,
    };
    const step = steps[event.key];
    if (!step || now === undefined || event.shiftKey) return;
    event.preventDefault();
    event.stopPropagation();
    this.#focus(clip(now + step, 0, this.list.total - 1));
  }
}

/**
 * @param {Element} parent
 * @param {ListedVideo} video
 */
function picture(parent, { id, has_media: hasMedia, fault }) {
  const frame = make(parent, "span", { className: "picture" });
  if (!hasMedia || fault) return;
  const image = make(frame, "img", { loading: "lazy", decoding: "async", alt: "", src: thumbnailUrl(id) });
  image.addEventListener("error", () => image.remove());
}
