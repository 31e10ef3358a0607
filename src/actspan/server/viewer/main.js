// Start the page: connect its parts, and show what the address names.

/** @import { Job } from "./types.js" */

import { Actions } from "./actions.js";
import { addressOf, goTo, readAddress } from "./address.js";
import * as api from "./api.js";
import { connection } from "./connection.js";
import { CorrectionsTab } from "./corrections_tab.js";
import { exportDialog, followTheme, helpDialog } from "./dialogs.js";
import { byId, dialog, element, field, make } from "./dom.js";
import { Editing } from "./editing.js";
import { listen } from "./keys.js";
import { drawer, skipLink, Splitter } from "./layout.js";
import { List } from "./list.js";
import { Marking } from "./marking.js";
import { say } from "./messages.js";
import { Opening } from "./opening.js";
import { Player } from "./player.js";
import { Pointer } from "./pointer.js";
import { Preview } from "./preview.js";
import { ProposalsTab } from "./proposals_tab.js";
import { proposeDialog } from "./propose.js";
import { SelectionBar } from "./selection_bar.js";
import { SettingsTab } from "./settings_tab.js";
import { Store } from "./store.js";
import { Tabs } from "./tabs.js";
import { clock, plural } from "./text.js";
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
      this.tip.hovered(segment, point);
      this.preview.hovered(hit, point);
    });
    this.editing = new Editing(this.store, this.player);
    this.marking = new Marking(this.store, this.player, this.actions);
    new SelectionBar(this.store, this.editing);
    new Transport(this.store, this.player, this.actions, this.timeline);
    this.list = new List(this.store);
    this.opening = new Opening(this.store, this.player, () => this.list.refresh());
    this.tabs = new Tabs(this.store);
    this.corrections = new CorrectionsTab(this.store, this.actions, this.player);
    new ProposalsTab(this.store, this.actions);
    new SettingsTab(this.store, this.opening);
    this.side = drawer();
    skipLink();
    followTheme(() => this.timeline.recolour());
    helpDialog();
    exportDialog(about);
    this.loop = new Loop(this.store, this.opening);
    this.#keyboard();
    this.#connection();
    addEventListener("hashchange", () => this.show());
    addEventListener("beforeunload", (event) => this.opening.isUnsaved && event.preventDefault());
    proposeDialog(this.opening).catch((error) => say("propose", api.messageOf(error)));
  }

  // Show what the address names: a video, the result of a job, or the first video of the list.
  async show() {
    const address = readAddress();
    this.side.close();
    for (const cause of ["open", "picture"]) say(cause, "");
    try {
      if (address && "job" in address) {
        this.list.mark("");
        await this.opening.openJob(address.job, (job) => this.#progress(job));
      } else await this.#showVideo(address ? address.id : await this.#first());
    } catch (error) {
      if (!api.wasAborted(error)) this.#failed(error);
    }
  }

  /** @param {string | undefined} id */
  async #showVideo(id) {
    this.list.mark(id ?? "");
    if (id === undefined) {
      this.opening.close();
      this.#empty(this.store.about.runs.length ? "The served runs contain no videos." : NOTHING);
    } else await this.opening.openVideo(id);
  }

  async #first() {
    if (!this.list.at(0)) await this.list.reload();
    return this.list.at(0)?.id;
  }

  /** @param {unknown} error */
  #failed(error) {
    if (error instanceof api.Refused && error.status === 0) return; // shown again when it answers
    this.opening.close();
    this.#empty(api.messageOf(error));
    const link = make(byId("empty"), "p");
    make(link, "a", { href: addressOf({}) }, "Show the first video");
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
    const { video, seconds, truth, about } = this.store;
    byId("video").hidden = video === null;
    if (!video) {
      byId("name").textContent = byId("about").textContent = "";
      document.title = "ActSpan";
      return;
    }
    byId("empty").hidden = true;
    document.body.classList.toggle("no-picture", !video.has_media);
    byId("name").textContent = video.id;
    const parts = [clock(seconds), video.subset, about.ground_truth && plural(truth.length, "instance")];
    byId("about").textContent = parts.filter(Boolean).join(" · ");
    document.title = `${video.id} · ActSpan`;
    this.#runs();
  }

  // The runs at the top: a button each if there are several.
  #runs() {
    const { served, runs } = this.store, room = byId("runs");
    room.replaceChildren();
    if (runs !== served) return;
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

  #connection() {
    connection.addEventListener("lost", () => this.opening.reportFailures());
    connection.addEventListener("back", () => {
      this.opening.reportFailures();
      this.opening.saveAll();
      this.list.refresh();
      if (!this.store.video || readAddress()) this.#reopen();
    });
  }

  // Show what the address names, if it could not be shown.
  #reopen() {
    const address = readAddress();
    const isShown = address && "id" in address ? this.store.video?.id === address.id : this.store.video;
    if (!isShown) this.show();
  }

  /** @param {1 | -1} step */
  async #neighbour(step) {
    const id = await this.list.neighbour(step);
    if (id !== undefined) goTo({ id });
  }

  #keyboard() {
    const { store, player, actions, pointer, editing: edits, marking } = this;
    const editing = (/** @type {() => unknown} */ action) => () => (store.editor ? action() : false);
    listen({
      toggle: () => player.toggle(), help: () => dialog("help").showModal(),
      leave: () => pointer.cancel() || marking.cancel() || player.leaveRange() || edits.deselect(),
      back: () => actions.step(-1), on: () => actions.step(1),
      farBack: () => actions.step(-10), farOn: () => actions.step(10),
      frameBack: () => actions.stepFrames(-1), frameOn: () => actions.stepFrames(1),
      start: () => actions.step(-Infinity), end: () => actions.step(Infinity),
      previous: () => actions.neighbour(-1, "rank"), next: () => actions.neighbour(1, "rank"),
      earlier: () => actions.neighbour(-1, "start"), later: () => actions.neighbour(1, "start"),
      playChosen: () => actions.playChosen(),
      zoomIn: () => actions.zoom(0.5), zoomOut: () => actions.zoom(2), zoomAll: () => actions.zoomAll(),
      nextVideo: () => { this.#neighbour(1); }, previousVideo: () => { this.#neighbour(-1); },
      find: () => {
        this.side.open();
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
      undo: editing(() => store.editor?.undo()), redo: editing(() => store.editor?.redo()),
    });
  }

  // Label the selected segments; without any, switch one of the first two runs.
  /** @param {number} number */
  #digit(number) {
    if (this.store.selected) return this.editing.label(this.store.labels.list[number - 1]);
    return number <= 2 && this.store.toggleRun(number - 1);
  }

  #label() {
    this.tabs.show("corrections");
    return this.corrections.focusLabel();
  }
}

async function start() {
  const page = new Page(await api.about());
  const listed = page.list.reload();
  if (!readAddress()) await listed;
  await page.show();
  document.body.dataset.ready = "true";
  performance.mark("usable");
}

start().catch((error) => say("start", api.messageOf(error)));
