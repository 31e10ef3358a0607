// Filters of the list of videos, beside the workspace and on the home page alike.

/** @import { ListQuery, Overview } from "./types.js" */

import { byId, button, choice, field, fill, press } from "./dom.js";
import { say } from "./messages.js";
import { letterOf } from "./text.js";

/** @type {[order: string, words: string, descending: boolean][]} */
const ORDERS = [
  ["source", "in original order", false], ["id", "by id", false],
  ["auc", "worst AUC first", false], ["auc", "best AUC first", true],
  ["difference", "largest difference first", true], ["changes", "most changed proposals first", true],
  ["seconds", "longest first", true], ["seconds", "shortest first", false],
  ["instances", "most instances first", true], ["proposals", "most proposals first", true],
  ["score", "best score first", true],
];
const TYPING = 120; // milliseconds before typed text counts

/** Event: "change". */
export class Filters extends EventTarget {
  /** @type {Map<number, [low: number, high: number]>} AUC by run, percent */
  auc = new Map();
  #timer = 0;
  #runs = 0;

  /** @param {Overview} about */
  constructor(about) {
    super();
    this.offer(about);
    this.#listen();
  }

  /**
   * Offer what depends on the runs that are served; what is chosen stays.
   * @param {Overview} about
   */
  offer(about) {
    const isEvaluated = Boolean(about.ground_truth) && about.runs.length > 0;
    this.#runs = about.runs.length;
    fill("order", ordersOf(about, isEvaluated));
    fill("subset", [["", "all subsets"], ...about.subsets.map((name) => [name, name])]);
    fill("label", [["", "all labels"], ...about.labels.map((name) => [name, name])]);
    fill("missed-by", [["", "by any run"], ...about.runs.map((_, r) => [String(r), `by ${letterOf(r)}`])]);
    choice("subset").hidden = about.subsets.length < 2;
    choice("label").hidden = about.labels.length < 2;
    byId("missed-option").hidden = !isEvaluated;
  }

  #listen() {
    field("find").addEventListener("input", () => {
      clearTimeout(this.#timer);
      this.#timer = setTimeout(() => this.#changed(), TYPING);
    });
    for (const id of ["order", "missed", "missed-by", "corrected", "subset", "label"]) {
      byId(id).addEventListener("change", () => this.#changed());
    }
    press("auc-filter", () => this.clearAuc());
    byId("filter").addEventListener("submit", (event) => event.preventDefault());
  }

  #changed() {
    choice("missed-by").hidden = !field("missed").checked || this.#runs < 2;
    const ranges = [...this.auc].map(([run, [low, high]]) => `${letterOf(run)} ${low} to ${high}`);
    button("auc-filter").hidden = !ranges.length;
    byId("auc-filter-text").textContent = `AUC of ${ranges.join(", ")}`;
    this.dispatchEvent(new Event("change"));
  }

  /**
   * Keep only videos whose AUC of some runs is in a range.
   * @param {[run: number, low: number, high: number][]} ranges percent; the whole range is no filter
   */
  setAuc(ranges) {
    for (const [run, low, high] of ranges) {
      if (low <= 0 && high >= 100) this.auc.delete(run);
      else this.auc.set(run, [low, high]);
    }
    this.#changed();
  }

  clearAuc() {
    this.auc.clear();
    this.#changed();
  }

  // Return whether videos may be left out.
  get isActive() {
    const { find, missed, missed_by: by, corrected, subset, label } = this.query;
    return Boolean(find || missed || by !== undefined || corrected || subset || label || this.auc.size);
  }

  // The order as text for the address, "" for the first one.
  get order() {
    const name = nameOf(ORDERS[Number(choice("order").value)]);
    return name === "source" ? "" : name;
  }

  /**
   * Return the filters and the order for the address; what is as usual is left out.
   * @returns {Record<string, string>}
   */
  get address() {
    const { find, corrected, subset = "", label = "", missed, missed_by: by } = this.query;
    const auc = [...this.auc].map(([run, range]) => `${letterOf(run)}:${range.join("-")}`).join();
    const parts = {
      order: this.order, find, missed: by === undefined ? missed && "any" : letterOf(by), corrected: corrected && "yes",
      subset, label, auc,
    };
    return Object.fromEntries(Object.entries(parts).flatMap(([name, text]) => (text ? [[name, text]] : [])));
  }

  /**
   * Apply the filters and the order of an address; name those that are not offered here.
   * @param {Record<string, string>} parts
   */
  restore(parts) {
    if (new URLSearchParams(parts).toString() === new URLSearchParams(this.address).toString()) return;
    const { order = "source", find = "", missed = "", corrected = "", subset = "", label = "", auc = "" } = parts;
    const runs = Array.from({ length: this.#runs }, (_, run) => letterOf(run));
    select("order", String(ORDERS.findIndex((one) => nameOf(one) === order)));
    field("find").value = find;
    field("missed").checked = missed !== "";
    select("missed-by", runs.includes(missed) ? String(runs.indexOf(missed)) : "");
    field("corrected").checked = corrected !== "";
    select("subset", subset);
    select("label", label);
    this.auc.clear();
    for (const [, run, low, high] of auc.matchAll(/(\w+):([\d.]+)-([\d.]+)/g)) {
      if (runs.includes(run)) this.auc.set(runs.indexOf(run), [Number(low), Number(high)]);
    }
    reportIgnored(parts, this.address);
    this.#changed();
  }

  /** @returns {Omit<ListQuery, "offset" | "limit" | "suppression">} */
  get query() {
    const [order, , descending] = ORDERS[Number(choice("order").value)];
    const subset = choice("subset").value, label = choice("label").value;
    const missed = field("missed").checked, by = choice("missed-by").value;
    return {
      find: field("find").value, corrected: field("corrected").checked, order, descending,
      missed: missed && !by, ...(missed && by && { missed_by: Number(by) }),
      ...(subset && { subset }), ...(label && { label }),
      auc: [...this.auc].map(([run, range]) => `${run}:${range.join()}`),
    };
  }
}

/**
 * Say which parts of an address are not offered here.
 * @param {Record<string, string>} parts
 * @param {Record<string, string>} applied
 */
function reportIgnored(parts, applied) {
  const ignored = Object.entries(parts).filter(([name, text]) => text && !applied[name]);
  const list = ignored.map((part) => part.join("=")).join(", ");
  say("filters", list && `Parts of the address that cannot be applied here are ignored: ${list}.`);
}

/** @param {[order: string, words: string, descending: boolean]} order */
const nameOf = ([order, , descending]) => `${descending ? "-" : ""}${order}`;

/**
 * Choose an option; the first one if it is not offered.
 * @param {string} id
 * @param {string} value
 */
function select(id, value) {
  const list = choice(id);
  list.value = value;
  if (list.selectedIndex < 0) list.selectedIndex = 0;
}

/**
 * Return the orders that make sense for what is served, as values and words.
 * @param {Overview} about
 * @param {boolean} isEvaluated
 */
const ordersOf = ({ runs }, isEvaluated) => ORDERS.map(([order, words], i) => [order, String(i), words])
  .filter(([order]) => {
    if (["auc", "instances", "difference"].includes(order) && !isEvaluated) return false;
    if (["proposals", "score"].includes(order) && !runs.length) return false;
    return runs.length > 1 || !["difference", "changes"].includes(order);
  })
  .map(([, value, words]) => [value, words]);
