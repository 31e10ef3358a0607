// The list of videos: of thousands of rows, only those in view are requested and drawn.

/** @import { ListedRun, ListedVideo, ListQuery } from "./types.js" */
/** @import { Run } from "./run.js" */
/** @import { Store } from "./store.js" */

import { addressOf } from "./address.js";
import * as api from "./api.js";
import { byId, make } from "./dom.js";
import { Filters } from "./filters.js";
import { clip } from "./segments.js";
import { clock, dotted, letterOf, plural } from "./text.js";

const ROW = 46, PAGE = 100, AROUND = 6, AGAIN = 1500; // pixels, rows, rows, milliseconds
const DRAWN = 8; // instances and proposals of a video on its card

/** Event: "change" (the total, or videos of a page). */
export class List extends EventTarget {
  total = 0;
  isEvaluating = false;
  /** @type {() => [first: number, last: number]} rows that are shown elsewhere, as cards */
  alsoInView = () => [0, 0];
  /** @type {Map<number, ListedVideo[] | null>} number of the page -> videos, null while it is requested */
  #pages = new Map();
  #asking = new AbortController();
  /** @type {Promise<void> | null} */
  #loaded = null;
  #timer = 0;
  #current = "";
  #place = 0; // of the current video, when it was last listed

  /** @param {Store} store */
  constructor(store) {
    super();
    this.store = store;
    this.room = byId("list");
    this.rows = byId("rows");
    this.filters = new Filters(store.about);
    this.filters.addEventListener("change", () => this.reload());
    store.on("suppression", () => this.refresh());
    store.on("runs", () => this.filters.order === "-changes" && this.refresh());
    store.on("served", () => {
      this.filters.offer(store.about);
      this.refresh();
    });
    this.room.addEventListener("scroll", () => this.#draw(), { passive: true });
    this.room.addEventListener("keydown", (event) => this.#key(event));
    new ResizeObserver(() => this.#draw()).observe(this.room);
  }

  /**
   * @param {() => void} work
   * @param {number} milliseconds
   */
  #soon(work, milliseconds) {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(work, milliseconds);
  }

  /** @param {number} page @returns {ListQuery} */
  #query(page) {
    const suppression = this.store.served.map((run) => run.variant).filter((variant) => variant !== null);
    const [a, b] = this.store.pair;
    const pair = a && b ? { a: a.number, b: b.number } : {};
    return { ...this.filters.query, ...pair, suppression, segments: DRAWN, offset: page * PAGE, limit: PAGE };
  }

  // Load the list, unless it is loaded or being loaded.
  ready() {
    return this.#loaded ?? this.reload();
  }

  // Load the list again, from the top.
  reload() {
    this.#asking.abort();
    this.#asking = new AbortController();
    this.#pages.clear();
    this.#place = 0; // of other videos than before
    this.room.scrollTop = 0;
    this.#loaded = this.#get(0);
    return this.#loaded;
  }

  // Load the rows in view again; others are loaded when they come into view.
  async refresh() {
    const views = [this.#inView(), this.alsoInView()];
    const pages = [...this.#pages.keys()];
    const shown = pages.filter((page) => views.some(([first, last]) =>
      page * PAGE < Math.max(last, 1) && (page + 1) * PAGE > first));
    for (const page of pages) if (!shown.includes(page)) this.#pages.delete(page);
    await Promise.all(shown.map((page) => this.#get(page)));
  }

  /** @param {number} page */
  async #get(page) {
    if (!this.#pages.get(page)) this.#pages.set(page, null);
    const asking = this.#asking;
    try {
      const { total, videos, evaluating } = await api.listVideos(this.#query(page), asking.signal);
      if (asking !== this.#asking) return;
      this.#pages.set(page, videos);
      this.total = total;
      this.isEvaluating = evaluating;
      byId("count").textContent = plural(total, "video") + (evaluating ? " · evaluating" : "");
      if (evaluating) this.#soon(() => this.refresh(), AGAIN);
      this.#draw();
      this.dispatchEvent(new Event("change"));
    } catch (error) {
      if (api.wasAborted(error)) return;
      if (!this.#pages.get(page)) this.#pages.delete(page); // rows that are shown stay
      if (error instanceof api.Refused && error.status === 0) return; // the connection reports it
      byId("count").textContent = api.messageOf(error);
    }
  }

  /** @param {number} index */
  at(index) {
    return this.#pages.get(Math.floor(index / PAGE))?.[index % PAGE];
  }

  /**
   * Return the id of the video before or after the current one. If the current one is not listed
   * any more, its place in the list counts.
   * @param {1 | -1} step
   */
  async neighbour(step) {
    const now = this.#find();
    const index = now >= 0 ? now + step : this.#place + (step > 0 ? 0 : -1);
    if (index < 0 || index >= this.total) return undefined;
    if (!this.at(index)) await this.#get(Math.floor(index / PAGE));
    return this.at(index)?.id;
  }

  // The place of the current video among the loaded rows, or -1.
  #find() {
    for (const [page, videos] of this.#pages) {
      const i = videos?.findIndex((video) => video.id === this.#current) ?? -1;
      if (i >= 0) return page * PAGE + i;
    }
    return -1;
  }

  /**
   * Mark the current video, and scroll to it.
   * @param {string} id
   */
  mark(id) {
    this.#current = id;
    const place = this.#find();
    if (place >= 0) this.#reveal(place);
    this.#draw();
  }

  /** @param {number} index */
  #reveal(index) {
    const { room } = this, top = index * ROW;
    if (top < room.scrollTop) room.scrollTop = top;
    if (top + ROW > room.scrollTop + room.clientHeight) room.scrollTop = top + ROW - room.clientHeight;
  }

  /** @returns {[first: number, last: number]} */
  #inView() {
    const { scrollTop, clientHeight } = this.room;
    const first = Math.max(Math.floor(scrollTop / ROW) - AROUND, 0);
    return [first, Math.min(Math.ceil((scrollTop + clientHeight) / ROW) + AROUND, this.total)];
  }

  #draw() {
    this.rows.style.height = `${this.total * ROW}px`;
    const place = this.#find();
    if (place >= 0) this.#place = place;
    const [first, last] = this.#inView();
    const focused = focusedIndex(this.rows);
    this.rows.replaceChildren(...Array.from({ length: Math.max(last - first, 0) }, (_, i) => this.#row(first + i)));
    if (focused !== undefined) this.#focus(focused);
    this.need(first, last);
  }

  /**
   * Request the pages of some rows that are not loaded yet.
   * @param {number} first
   * @param {number} last
   */
  need(first, last) {
    for (let page = Math.floor(first / PAGE); page * PAGE < last; page += 1) {
      if (!this.#pages.has(page)) this.#get(page);
    }
  }

  /**
   * Return a new item of the list with its place in it, and its link once the video is loaded.
   * @param {number} index
   */
  entry(index) {
    const item = make(null, "li"), video = this.at(index);
    item.setAttribute("aria-setsize", String(this.total));
    item.setAttribute("aria-posinset", String(index + 1));
    const link = video ? make(item, "a", { href: addressOf({ id: video.id }) }) : null;
    if (link) link.dataset.index = String(index);
    return { item, link };
  }

  /**
   * Write the name and the facts of a video into its link.
   * @param {HTMLElement} link
   * @param {ListedVideo} video
   * @param {string} className of the name
   */
  describe(link, video, className) {
    make(link, "span", { className, title: video.id }, video.id);
    if (video.fault) make(link, "span", { className: "badge fault", title: video.fault }, "unreadable");
    else if (video.corrected) make(link, "span", { className: "badge" }, "corrected");
    make(link, "span", { className: "row-facts" }, factsOf(video, this.store));
  }

  /** @param {number} index */
  #focus(index) {
    const link = this.rows.querySelector(`[data-index="${index}"]`);
    if (link instanceof HTMLElement) link.focus({ preventScroll: true });
  }

  /** @param {number} index */
  #row(index) {
    const video = this.at(index), { item, link } = this.entry(index);
    item.style.transform = `translateY(${index * ROW}px)`;
    if (!video || !link) return item;
    if (video.id === this.#current) link.setAttribute("aria-current", "true");
    this.describe(link, video, "row-name");
    const figures = aucOf(video, this.store.served), auc = make(link, "span", { className: "row-auc" });
    if (figures) make(auc, "span", { className: video.runs.length > 1 ? "hidden" : "" }, "AUC ");
    auc.append(figures);
    return item;
  }

  /** @param {KeyboardEvent} event */
  #key(event) {
    /** @type {Record<string, number>} */
    const steps = { ArrowDown: 1, ArrowUp: -1, PageDown: 10, PageUp: -10 };
    const now = focusedIndex(this.rows), step = steps[event.key];
    if (!step || now === undefined) return;
    event.preventDefault();
    event.stopPropagation();
    const index = clip(now + step, 0, this.total - 1);
    this.#reveal(index);
    this.#draw();
    this.#focus(index);
  }
}

/**
 * Return the index of the video whose link in a list has the focus.
 * @param {HTMLElement} room
 */
export function focusedIndex(room) {
  const link = document.activeElement;
  return link instanceof HTMLElement && room.contains(link) ? Number(link.dataset.index) : undefined;
}

/**
 * Return the AUC of each run, percent, with the letter of the run if there are several; a star marks
 * one that is too high, since proposals of the run were accepted as instances.
 * @param {ListedVideo} video
 * @param {Run[]} shown
 */
export function aucOf({ runs }, shown) {
  const figures = shown.map(({ number }) => {
    const metrics = runs[number]?.metrics;
    return metrics && `${letterIn(runs, number)}${metrics.auc.toFixed(1)}${metrics.own ? "*" : ""}`;
  });
  return figures.filter(Boolean).join(" ");
}

/**
 * @param {unknown[]} runs
 * @param {number} run
 */
const letterIn = (runs, run) => (runs.length > 1 ? `${letterOf(run)} ` : "");

/**
 * Return the second line of a row.
 * @param {ListedVideo} video
 * @param {Store} store
 */
function factsOf({ seconds, fault, instances, runs }, { about, pair }) {
  const count = about.ground_truth ? plural(instances, "instance") : !fault && proposalsOf(runs, pair);
  const missed = runs.length === 1 && runs[0].metrics?.missed;
  return dotted(seconds !== null && clock(seconds), count, missed ? `${missed} missed` : "");
}

/**
 * Return the numbers of proposals of the shown runs; none if they are evaluated, since AUC says more.
 * @param {ListedRun[]} runs
 * @param {Run[]} pair
 */
function proposalsOf(runs, pair) {
  if (runs.every(({ proposals }) => proposals === null)) return runs.length ? "no proposals yet" : "";
  if (runs.length === 1) return plural(runs[0].proposals ?? 0, "proposal");
  if (runs.some(({ metrics }) => metrics)) return "";
  return `proposals ${pair.map(({ letter, number }) => `${letter} ${runs[number]?.proposals ?? "–"}`).join(" ")}`;
}
