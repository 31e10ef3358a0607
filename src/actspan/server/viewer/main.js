// Start the page: connect its parts, and show what the address names.

/** @import { Job } from "./types.js" */

import { Actions } from "./actions.js";
import { addressOf, goTo, readAddress } from "./address.js";
import * as api from "./api.js";
import { connection } from "./connection.js";
import { CorrectionsTab } from "./corrections_tab.js";
import { Decisions } from "./decisions.js";
import { exportDialog, followTheme, helpDialog } from "./dialogs.js";
import { byId, dialog, element, field, make, press } from "./dom.js";
import { Editing } from "./editing.js";
import { HitsPanel } from "./hits_panel.js";
import { Home } from "./home.js";
import { listen } from "./keys.js";
import { drawer, skipLink, Splitter } from "./layout.js";
import { List } from "./list.js";
import { Marking } from "./marking.js";
import { say } from "./messages.js";
import { Opening } from "./opening.js";
import { Place } from "./place.js";
import { Player } from "./player.js";
import { Pointer } from "./pointer.js";
import { Preview } from "./preview.js";
import { ProposalsTab } from "./proposals_tab.js";
import { acceptDrops, keepForm, proposeDialog } from "./propose.js";
import { SelectionBar } from "./selection_bar.js";
import { Review } from "./review.js";
import { reviewKeys, ReviewTab } from "./review_tab.js";
import { SettingsTab } from "./settings_tab.js";
import { Store } from "./store.js";
import { Tabs } from "./tabs.js";
import { clock, dotted, plural } from "./text.js";
import { Timeline } from "./timeline.js";
import { Tip } from "./tip.js";
import { Transport } from "./transport.js";
import { Loop } from "./work/loop.js";

const NOTHING = "Nothing is served. Start the service with actspan serve --results RUN or --videos FOLDER. "
  + "With --model, use Propose to find segments in a new recording.";

class Page {
  /** @param {Awaited<ReturnType<typeof api.about>>} about */
  constructor(about) {
    this.store = new Store(about);
    this.player = new Player(element("player", HTMLVideoElement));
    this.actions = new Actions(this.store, this.player);
    this.store.on("video", () => this.#title());
    this.store.on("length", () => this.#title());
    this.store.on("runs", () => this.#runs());
    this.timeline = new Timeline(this.store, this.player);
    new Splitter(this.store, this.timeline);
    this.tip = new Tip(this.store, this.timeline);
    this.preview = new Preview(this.store, this.player, this.timeline);
    this.pointer = new Pointer(this.timeline, (segment, point, hit) => {
      this.store.hits.hovered(segment);
      this.tip.hovered(segment, point);
      this.preview.hovered(hit, point);
    });
    this.editing = new Editing(this.store, this.player);
    this.marking = new Marking(this.store, this.player, this.actions);
    new SelectionBar(this.store, this.editing);
    new Transport(this.store, this.player, this.actions, this.timeline);
    this.list = new List(this.store);
    this.opening = new Opening(this.store, this.player, () => this.list.refresh());
    this.home = new Home(this.store, this.list);
    this.place = new Place(this.store, this.player, this.list.filters);
    this.tabs = new Tabs(this.store);
    this.corrections = new CorrectionsTab(this.store, this.actions, this.player);
    new ProposalsTab(this.store, this.actions);
    new SettingsTab(this.store, this.opening);
    this.hits = new HitsPanel(this.store, this.player);
    this.decisions = new Decisions(this.opening);
    this.decisions.addEventListener("saved", () => this.list.refresh());
    this.review = new Review(this.store, this.player, this.actions, this.decisions);
    this.store.review = this.review;
    this.reviewTab = new ReviewTab(this.store, this.review, this.tabs);
    this.side = drawer();
    skipLink();
    followTheme(() => this.timeline.recolour());
    helpDialog();
    exportDialog(about);
    this.loop = new Loop(this.store, this.opening, () => this.#review());
    acceptDrops();
    keepForm(this.store, this.opening);
    press("one-axis", () => this.store.comparison.toggle());
    for (const change of /** @type {const} */ (["video", "runs", "comparison"])) {
      this.store.on(change, () => this.#axis());
    }
    this.#keyboard();
    this.#connection();
    addEventListener("hashchange", () => this.show());
    addEventListener("beforeunload", (event) => {
      if (this.opening.isUnsaved || this.decisions.isUnsaved) event.preventDefault();
    });
    proposeDialog(this.opening).catch((error) => say("propose", api.messageOf(error)));
  }

  // Show what the address names: a video, the result of a job, or all videos.
  async show() {
    const address = readAddress();
    this.side.close();
    for (const cause of ["open", "picture"]) say(cause, "");
    try {
      this.place.prepare(address);
      this.list.ready();
      this.list.mark(address.id ?? "");
      if (address.id !== undefined || address.job !== undefined) this.home.leave();
      if (address.job !== undefined) await this.opening.openJob(address.job, (job) => this.#progress(job));
      else if (address.id !== undefined) await this.opening.openVideo(address.id);
      else await this.#showHome();
      this.place.restore(address);
      this.review.opened();
    } catch (error) {
      if (!api.wasAborted(error)) this.#failed(error);
    }
  }

  async #showHome() {
    this.opening.close();
    byId("empty").hidden = true;
    await this.list.ready();
    const { id, job } = readAddress();
    if (id !== undefined || job !== undefined) return; // another address was chosen in the meantime
    if (this.list.total || this.list.filters.isActive) this.home.show();
    else this.#empty(this.store.about.runs.length ? "The served runs contain no videos." : NOTHING);
  }

  /** @param {unknown} error */
  #failed(error) {
    if (error instanceof api.Refused && error.status === 0) return; // shown again when it answers
    this.opening.close();
    this.#empty(api.messageOf(error));
    const link = make(byId("empty"), "p");
    make(link, "a", { href: addressOf({}) }, "Show all videos");
  }

  /** @param {string} text */
  #empty(text) {
    byId("empty").replaceChildren(make(null, "p", {}, text));
    byId("empty").hidden = false;
    byId("video").hidden = true;
  }

  /** @param {Job} job */
  #progress({ id, name, state, progress }) {
    if (this.store.video) {
      this.player.open(0, null);
      this.store.close();
    }
    this.#empty(state === "queued" ? `${name} is waiting.` : `${name} is being computed.`);
    const bar = make(byId("empty"), "progress", { max: 1 });
    bar.setAttribute("aria-label", "Progress");
    if (state === "running") bar.value = progress;
    const cancel = make(byId("empty"), "button", { type: "button" }, "Cancel");
    cancel.addEventListener("click", () => api.removeJob(id).then(() => goTo({})));
  }

  #title() {
    const { video, duration, truth, about } = this.store;
    byId("video").hidden = video === null;
    if (!video) {
      byId("name").textContent = byId("about").textContent = "";
      document.title = "ActSpan";
      this.#runs();
      return;
    }
    byId("empty").hidden = true;
    document.body.classList.toggle("no-picture", !video.has_media);
    byId("name").textContent = video.id;
    const instances = about.ground_truth && plural(truth.length, "instance");
    byId("about").textContent = dotted(clock(duration), video.subset, instances);
    document.title = `${video.id} · ActSpan`;
    this.#runs();
  }

  // The runs at the top: a button each if there are several.
  #runs() {
    const { served, runs } = this.store, room = byId("runs");
    room.replaceChildren();
    if (this.store.video && runs !== served) return;
    for (const run of served) {
      const item = make(room, "li");
      if (served.length < 2) {
        make(item, "span", { className: "run-name" }, run.name);
        continue;
      }
      const chip = make(item, "button", { type: "button", className: `chip ${run.colour}` });
      chip.setAttribute("aria-pressed", String(run.shown));
      chip.addEventListener("click", () => {
        this.store.toggleRun(run.number);
        const again = room.children[run.number]?.querySelector("button"); // it was made again
        again?.focus();
      });
      make(chip, "b", {}, run.letter);
      make(chip, "span", {}, ` ${run.name}`);
    }
  }

  // The button that compares two runs on one axis.
  #axis() {
    const { comparison } = this.store;
    byId("one-axis").hidden = !comparison.isPossible;
    byId("one-axis").setAttribute("aria-pressed", String(comparison.isOn));
  }

  #connection() {
    connection.addEventListener("lost", () => this.opening.reportFailures());
    connection.addEventListener("back", () => {
      this.opening.reportFailures();
      this.opening.saveAll();
      this.list.refresh();
      this.#reopen();
    });
  }

  // Show what the address names, if it could not be shown.
  #reopen() {
    const { video } = this.store, { id, job } = readAddress();
    const isShown = id === undefined ? (job === undefined ? this.home.isShown : video) : video?.id === id;
    if (!isShown) this.show();
  }

  /** @param {1 | -1} step */
  async #neighbour(step) {
    const id = await this.list.neighbour(step);
    if (id !== undefined) goTo({ id });
  }

  #keyboard() {
    const { store, player, actions, pointer, editing: edits, marking } = this;
    // Without a video, keys that play or edit do nothing, so that Space and the arrows scroll the page.
    const playing = (/** @type {() => unknown} */ action) => () => (store.video ? action() : false);
    const editing = (/** @type {() => unknown} */ action) => () => (store.editor ? action() : false);
    listen({
      toggle: playing(() => player.toggle()), help: () => dialog("help").showModal(),
      leave: () => pointer.cancel() || marking.cancel() || player.leaveRange() || edits.deselect(),
      back: playing(() => actions.step(-1)), on: playing(() => actions.step(1)),
      farBack: playing(() => actions.step(-10)), farOn: playing(() => actions.step(10)),
      frameBack: playing(() => actions.stepFrames(-1)), frameOn: playing(() => actions.stepFrames(1)),
      start: playing(() => actions.step(-Infinity)), end: playing(() => actions.step(Infinity)),
      previous: () => actions.neighbour(-1, "rank"), next: () => actions.neighbour(1, "rank"),
      earlier: () => actions.neighbour(-1, "start"), later: () => actions.neighbour(1, "start"),
      playChosen: () => actions.playChosen(),
      zoomIn: playing(() => actions.zoom(0.5)), zoomOut: playing(() => actions.zoom(2)),
      zoomAll: playing(() => actions.zoomAll()),
      nextVideo: () => { this.#neighbour(1); }, previousVideo: () => { this.#neighbour(-1); },
      find: () => {
        if (!this.home.isShown) this.side.open();
        field("find").focus();
      },
      // tracks: marks, labels and changes of several segments
      digit: ({ key }) => this.#digit(Number(key)),
      add: (event) => marking.hold(event), setStart: () => marking.start(), setEnd: () => marking.end(),
      earlierSegment: () => edits.neighbour(-1), laterSegment: () => edits.neighbour(1),
      moveBack: () => edits.move(-actions.frame), moveOn: () => edits.move(actions.frame),
      split: () => edits.split(), merge: () => edits.merge(), remove: () => edits.remove(),
      selectAll: () => edits.selectAll(), copy: () => edits.copy(), paste: () => edits.paste(),
      take: () => actions.takeChosen(),
      label: editing(() => this.#label()),
      work: () => this.loop.open(),
      home: () => goTo({}), compare: () => store.comparison.toggle(),
      undo: editing(() => store.editor?.undo()), redo: editing(() => store.editor?.redo()),
      review: () => this.#review(),
      tiou: () => this.hits.nextTiou(), missed: () => this.hits.nextMissed(),
    }, [reviewKeys(this.review, this.reviewTab, this.pointer)]);
  }

  // Label the selected segments; without any, switch one of the first two runs.
  /** @param {number} number */
  #digit(number) {
    if (this.store.selected) return this.editing.label(this.store.labels.list[number - 1]);
    return number <= 2 && this.store.toggleRun(number - 1);
  }

  // Start or end the review; from the home page it opens the video of the first proposal.
  #review() {
    if (!this.store.served.length) say("review", "There is nothing to review: propose first (W).");
    else if (this.store.editor || this.home.isShown) return this.reviewTab.toggle();
    return false;
  }

  #label() {
    this.tabs.show("corrections");
    return this.corrections.focusLabel();
  }
}

async function start() {
  const page = new Page(await api.about());
  await page.show();
  document.body.dataset.ready = "true";
  performance.mark("usable");
}

start().catch((error) => say("start", api.messageOf(error)));
