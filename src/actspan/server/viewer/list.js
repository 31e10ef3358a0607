// The list of videos: of thousands of rows, only those in view are requested and drawn.

import * as api from "./api.js";
import { byId, clock, LETTERS, make, plural } from "./text.js";

const ROW = 60, PAGE = 100, AROUND = 6, AGAIN = 1500; // pixels, rows, rows, milliseconds

const ORDERS = [
  ["source", "in original order", false], ["id", "by id", false],
  ["auc", "worst AUC first", false], ["auc", "best AUC first", true],
  ["difference", "largest difference first", true], ["seconds", "longest first", true],
  ["seconds", "shortest first", false], ["instances", "most instances first", true],
  ["proposals", "most proposals first", true], ["score", "best score first", true],
];

export class List {
  total = 0;
  #pages = new Map(); // number -> videos, or null while it is on its way
  #asking = new AbortController();
  #later = 0;
  #current = "";

  constructor(about, open) {
    this.about = about;
    this.open = open;
    this.room = byId("list");
    this.rows = byId("rows");
    this.#addOrders();
    byId("missed-option").hidden = !about.ground_truth || !about.runs.length;
    byId("find").addEventListener("input", () => this.#soon(() => this.reload(), 120));
    for (const id of ["order", "missed", "corrected"]) byId(id).addEventListener("change", () => this.reload());
    byId("filter").addEventListener("submit", (event) => event.preventDefault());
    this.room.addEventListener("scroll", () => this.#draw(), { passive: true });
    this.room.addEventListener("keydown", (event) => this.#key(event));
    new ResizeObserver(() => this.#draw()).observe(this.room);
  }

  #addOrders() {
    const { ground_truth: truth, runs } = this.about;
    const fits = ([order]) =>
      (truth && runs.length) || !["auc", "instances"].includes(order)
        ? order !== "difference" || (truth && runs.length > 1)
        : false;
    ORDERS.forEach((entry, i) => fits(entry) && make(byId("order"), "option", { value: i }, entry[1]));
  }

  #soon(work, milliseconds) {
    clearTimeout(this.#later);
    this.#later = setTimeout(work, milliseconds);
  }

  get query() {
    const [order, , descending] = ORDERS[Number(byId("order").value)];
    const { checked: missed } = byId("missed"), { checked: corrected } = byId("corrected");
    return { find: byId("find").value, missed, corrected, order, descending };
  }

  // Load the list again, from the top.
  async reload() {
    this.#asking.abort();
    this.#asking = new AbortController();
    this.#pages.clear();
    this.room.scrollTop = 0;
    await this.#get(0);
  }

  // Load the same rows again.
  async refresh() {
    const pages = [...this.#pages.keys()];
    await Promise.all(pages.map((page) => this.#get(page)));
  }

  async #get(page) {
    if (!this.#pages.get(page)) this.#pages.set(page, null);
    const asking = this.#asking;
    try {
      const query = { ...this.query, offset: page * PAGE, limit: PAGE };
      const { total, videos, evaluating } = await api.listVideos(query, asking.signal);
      if (asking !== this.#asking) return;
      this.#pages.set(page, videos);
      this.total = total;
      byId("count").textContent = plural(total, "video") + (evaluating ? " · evaluating" : "");
      if (evaluating) this.#soon(() => this.refresh(), AGAIN);
      this.#draw();
    } catch (error) {
      if (error.name === "AbortError") return;
      this.#pages.delete(page);
      byId("count").textContent = error.message;
    }
  }

  at(index) {
    return this.#pages.get(Math.floor(index / PAGE))?.[index % PAGE];
  }

  // Return the video before or after the current one, if it is listed.
  neighbour(step) {
    for (const [page, videos] of this.#pages) {
      const i = videos?.findIndex((video) => video.id === this.#current) ?? -1;
      if (i >= 0) return this.at(page * PAGE + i + step)?.id;
    }
    return undefined;
  }

  mark(id) {
    this.#current = id;
    this.#draw();
  }

  #draw() {
    const { scrollTop, clientHeight } = this.room;
    this.rows.style.height = `${this.total * ROW}px`;
    const first = Math.max(Math.floor(scrollTop / ROW) - AROUND, 0);
    const last = Math.min(Math.ceil((scrollTop + clientHeight) / ROW) + AROUND, this.total);
    const focused = document.activeElement?.closest?.("#rows a")?.dataset.index;
    const made = [];
    for (let i = first; i < last; i += 1) made.push(this.#row(i));
    this.rows.replaceChildren(...made);
    if (focused !== undefined) this.rows.querySelector(`[data-index="${focused}"]`)?.focus({ preventScroll: true });
    for (let page = Math.floor(first / PAGE); page * PAGE < last; page += 1) {
      if (!this.#pages.has(page)) this.#get(page);
    }
  }

  #row(index) {
    const video = this.at(index);
    const item = document.createElement("li");
    item.style.transform = `translateY(${index * ROW}px)`;
    item.setAttribute("aria-setsize", this.total);
    item.setAttribute("aria-posinset", index + 1);
    if (!video) return item;
    const link = make(item, "a", { href: `#${new URLSearchParams({ id: video.id })}` });
    link.dataset.index = index;
    if (video.id === this.#current) link.setAttribute("aria-current", "true");
    const name = make(link, "span", { className: "row-name" }, video.id);
    if (video.corrected) make(name, "span", { className: "badge" }, "corrected");
    make(link, "span", { className: "row-facts" }, this.#facts(video));
    return item;
  }

  #facts(video) {
    const parts = video.seconds === null ? [] : [clock(video.seconds)];
    if (this.about.ground_truth) parts.push(plural(video.instances, "instance"));
    const name = (r) => (video.runs.length > 1 ? `${LETTERS[r]} ` : "");
    const figures = video.runs
      .map(({ metrics }, r) => metrics && `${name(r)}${metrics.auc.toFixed(1)}`)
      .filter(Boolean);
    if (figures.length) parts.push(`AUC ${figures.join(", ")}`);
    else if (!this.about.ground_truth) {
      parts.push(...video.runs.map(({ proposals }, r) => `${name(r)}${plural(proposals, "proposal")}`));
    }
    const missed = video.runs.length === 1 && video.runs[0].metrics?.missed;
    if (missed) parts.push(`${missed} missed`);
    return parts.join(" · ");
  }

  #key(event) {
    const step = { ArrowDown: 1, ArrowUp: -1, PageDown: 10, PageUp: -10 }[event.key];
    const now = document.activeElement?.dataset?.index;
    if (!step || now === undefined) return;
    event.preventDefault();
    event.stopPropagation();
    const index = Math.min(Math.max(Number(now) + step, 0), this.total - 1);
    const top = index * ROW;
    if (top < this.room.scrollTop) this.room.scrollTop = top;
    if (top + ROW > this.room.scrollTop + this.room.clientHeight) {
      this.room.scrollTop = top + ROW - this.room.clientHeight;
    }
    this.#draw();
    this.rows.querySelector(`[data-index="${index}"]`)?.focus({ preventScroll: true });
  }
}
