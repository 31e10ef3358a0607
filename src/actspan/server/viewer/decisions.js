// Decisions about proposals, stored by the service one after another; failed ones are tried again.

/** @import { Decision } from "./types.js" */
/** @import { Opening } from "./opening.js" */

import * as api from "./api.js";
import { connection } from "./connection.js";
import { say } from "./messages.js";
import { recall, remember } from "./remember.js";

const FIRST = 1000, LONGEST = 30_000; // milliseconds between two attempts
const ATTEMPTS = 3; // with the newest revision, if someone else changes the same video
const KEPT = 200; // decisions that can be undone after a reload

/** Events: "change", "saved" when all decisions are stored, and "refused" when one cannot be. */
export class Decisions extends EventTarget {
  /** @type {Decision[]} */
  #waiting = [];
  #isSaving = false;
  #timer = 0;
  #wait = FIRST;
  /** @type {Map<string, number>} of the corrections of each video */
  #revisions = new Map();

  /** @param {Opening} opening */
  constructor(opening) {
    super();
    this.opening = opening;
    connection.addEventListener("back", () => this.save());
  }

  get isUnsaved() {
    return this.#waiting.length > 0;
  }

  /** @param {Decision} decision */
  add(decision) {
    this.#waiting.push(decision);
    this.save();
  }

  // Wait until all decisions are stored.
  async settled() {
    while (this.isUnsaved) await new Promise((done) => { this.addEventListener("change", done, { once: true }); });
  }

  async save() {
    if (this.#isSaving || !this.isUnsaved) return;
    clearTimeout(this.#timer);
    this.#isSaving = true;
    this.dispatchEvent(new Event("change"));
    try {
      while (this.isUnsaved) {
        await this.#put(this.#waiting[0]);
        this.#waiting.shift();
      }
      this.#isSaving = false;
      this.#wait = FIRST;
      say("review", "");
      this.dispatchEvent(new Event("saved"));
    } catch (error) {
      this.#isSaving = false;
      this.#failed(error);
    }
    this.dispatchEvent(new Event("change"));
  }

  /** @param {Decision} decision */
  async #put(decision) {
    const { video } = decision.item;
    await this.opening.settled(video);
    for (let attempt = 1; ; attempt += 1) {
      const revision = this.#revisions.get(video) ?? (await api.readCorrections(video)).revision;
      try {
        const { corrections } = await api.decide(decision, revision);
        this.#revisions.set(video, corrections.revision);
        this.opening.adopt(video, corrections);
        return;
      } catch (error) {
        this.#revisions.delete(video);
        if (!(error instanceof api.Refused) || error.status !== 409 || attempt === ATTEMPTS) throw error;
      }
    }
  }

  /** @param {unknown} error */
  #failed(error) {
    const count = this.#waiting.length, { video } = this.#waiting[0].item;
    if (error instanceof api.Refused && !error.isTemporary) {
      this.#waiting.shift();
      say("review", `The decision about a proposal of ${video} is not saved: ${error.message}`);
      this.dispatchEvent(new Event("refused"));
      this.save();
      return;
    }
    this.#timer = setTimeout(() => this.save(), this.#wait);
    this.#wait = Math.min(this.#wait * 2, LONGEST);
    say("review", `The latest decisions (${count}) are not saved yet: keep this page open. ${api.messageOf(error)}`,
      { name: "Save now", act: () => this.save() });
  }
}

/**
 * Remember the latest decisions, so that they can be undone after a reload.
 * @param {Decision[]} past
 */
export const keepPast = (past) => remember("review-past", JSON.stringify(past.slice(-KEPT)));

/**
 * Return the remembered decisions about runs that are still served.
 * @param {{ name: string }[]} runs
 * @returns {Decision[]}
 */
export function recallPast(runs) {
  try {
    /** @type {Decision[]} */
    const past = JSON.parse(recall("review-past") ?? "[]");
    return past.filter(({ run, runName }) => runs[run]?.name === runName);
  } catch {
    return []; // written by another version
  }
}
