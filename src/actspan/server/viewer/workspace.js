// One video: its runs, corrections and position, and the user's actions.

import * as api from "./api.js";
import { Curves } from "./curves.js";
import { Editor } from "./editor.js";
import { packLanes } from "./lanes.js";
import { Player } from "./player.js";
import { Pointer } from "./pointer.js";
import { proposalTable, segmentTable } from "./tables.js";
import { byId, clock, LETTERS, make, overlap, plural } from "./text.js";
import { Timeline } from "./timeline.js";
import { View } from "./view.js";

export const COLOURS = [0, 3, 4, 5, 6, 1, 2]; // of runs; curves have 1 and 2 already
const LANES = 14;

// Convert the server's columns to objects with a rank.
function ranked({ start, end, score, labels }) {
  return start.map((s, i) => ({ start: s, end: end[i], score: score[i], label: labels?.[i] ?? "", rank: i + 1 }));
}

export class Workspace extends EventTarget {
  video = null;
  truth = [];
  runs = [];
  editor = null;
  chosen = null; // a proposal: {run, rank, start, end, label}
  view = new View();
  player = new Player(byId("player"));
  #editors = new Map(); // id -> Editor: the way back outlives a visit to another video
  #opening = new AbortController();
  #blob = null; // the address of a file of the user's

  constructor(about, settings) {
    super();
    this.about = about;
    this.settings = settings;
    this.names = about.runs.map((run) => run.name);
    this.shown = about.runs.map((_, r) => r < 2);
    this.timeline = new Timeline(this.view, () => this.#content());
    new Pointer(this.timeline, {
      scrub: (seconds) => this.goTo(seconds),
      playOnly: ({ segment, run, kind }) => (kind === "proposal" ? this.playProposal(run, segment) : this.player.playOnly(segment)),
      select: (index) => this.editor.select(index),
      editor: () => this.editor,
      hover: (hit, place) => this.#tip(hit, place),
    });
    this.player.addEventListener("move", () => this.#moved());
    this.player.addEventListener("state", () => this.#playing());
    this.player.addEventListener("unplayable", () => this.#unplayable());
    settings.addEventListener("filter", () => this.#filter());
    settings.addEventListener("suppress", () => this.#suppress());
  }

  #content() {
    const { truth, runs, editor, player, chosen } = this;
    return {
      truth, runs, chosen, canEdit: editor !== null, corrections: editor?.segments, selected: editor?.selected ?? -1, playhead: player.time,
    };
  }

  // Show a video of the library.
  async open(id) {
    const { signal } = this.#restart();
    const numbers = this.about.runs.map((_, r) => r);
    const [video, ...found] = await Promise.all([
      api.openVideo(id, signal), ...numbers.map((r) => this.#found(id, r, signal)),
    ]);
    const runs = numbers.map((r) => {
      const curves = video.curves[r] && new Curves(
        video.curves[r], (level, tile) => api.curveTile(id, r, level, tile), () => this.timeline.paint(),
      );
      return { curves, all: ranked(found[r]) };
    });
    this.show(video, runs, video.has_media ? api.mediaUrl(id) : null);
    for (const run of runs) run.curves?.load().then(() => this.timeline.paint(), () => {});
  }

  // Show the result of a job, which cannot be corrected here.
  showNew(id, seconds, columns, media) {
    this.#restart();
    this.#blob = media;
    const video = { id, seconds, subset: "", ground_truth: [], corrections: null };
    this.show(video, [{ curves: null, all: ranked(columns) }], media);
  }

  // Show a video; runs: [{curves, all}].
  show(video, runs, media) {
    this.video = video;
    this.truth = video.ground_truth;
    this.runs = runs.map((run, number) => ({
      ...run, number, name: this.names[number] ?? "", colour: COLOURS[number], shown: this.shown[number] ?? true,
    }));
    this.chosen = null;
    this.#editWith(video);
    const ends = this.runs.flatMap((run) => [run.curves?.span ?? 0, ...run.all.map((p) => p.end)]);
    const seconds = Math.max(video.seconds ?? 0, ...ends, ...this.truth.map((t) => t.end), 0.5);
    byId("video").hidden = false;
    byId("empty").hidden = true;
    byId("stage").hidden = media === null;
    this.#title(video, seconds);
    this.view.open(seconds);
    this.player.open(seconds, media);
    this.settings.openedVideo(this.runs, seconds);
    this.#filter();
    this.#moved();
    this.dispatchEvent(new Event("open"));
  }

  #restart() {
    if (this.#blob) URL.revokeObjectURL(this.#blob);
    this.#blob = null;
    this.#opening.abort();
    this.#opening = new AbortController();
    return this.#opening;
  }

  #found(id, run, signal) {
    const { changed } = this.settings;
    if (!changed || !this.about.runs[run].can_suppress) return api.proposals(id, run, signal);
    return api.suppressed(id, run, changed, signal);
  }

  #editWith(video) {
    byId("corrections").hidden = video.corrections === null;
    if (video.corrections === null) {
      this.editor = null;
      return;
    }
    if (!this.#editors.has(video.id)) {
      const made = new Editor(video.id, video.corrections);
      made.addEventListener("change", () => made === this.editor && this.#edited());
      this.#editors.set(video.id, made);
    }
    this.editor = this.#editors.get(video.id);
    this.editor.refresh(video.corrections);
    this.#edited();
  }

  get unsaved() {
    return [...this.#editors.values()].some((editor) => editor.unsaved);
  }

  #title(video, seconds) {
    byId("name").textContent = video.id;
    const parts = [clock(seconds, 1)];
    if (video.subset) parts.push(video.subset);
    if (this.about.ground_truth) parts.push(plural(this.truth.length, "instance"));
    byId("about").textContent = parts.join(" · ");
    document.title = `${video.id} · ActSpan viewer`;
  }

  async #suppress() {
    if (!this.video?.curves) return; // it is no run's
    const { signal } = this.#restart();
    this.settings.say("…");
    try {
      await Promise.all(this.runs.map(async (run) => {
        run.all = ranked(await this.#found(this.video.id, run.number, signal));
      }));
      this.settings.say(this.settings.changed ? "changed" : "");
      this.chosen = null;
      this.#filter();
    } catch (error) {
      if (error.name !== "AbortError") this.settings.say(error.message);
    }
  }

  #filter() {
    const { score, most } = this.settings;
    let without = 0;
    for (const run of this.runs) {
      run.visible = run.all.filter((p) => p.score >= score).slice(0, most);
      run.best = run.all[0]?.score ?? 1;
      run.lanes = packLanes(run.visible, LANES);
      if (run.shown) without += run.visible.length - run.lanes.placed.length;
    }
    const hidden = `${plural(without, "proposal")} do not fit on the timeline; see the table.`;
    byId("hidden-lanes").textContent = without ? hidden : "";
    this.timeline.layout();
    this.#tables();
  }

  #tables() {
    proposalTable(byId("proposals"), this.runs, this.truth, this.chosen, {
      playOnly: (run, p) => this.playProposal(run, p),
      take: this.editor && ((p) => this.take(p)),
    });
  }

  #edited() {
    const { editor } = this;
    segmentTable(byId("segments"), editor, { playOnly: (segment) => this.player.playOnly(segment) });
    byId("saved").textContent = editor.state;
    byId("undo").disabled = !editor.canUndo;
    byId("redo").disabled = !editor.canRedo;
    byId("forget").disabled = editor.segments === null;
    byId("take-truth").hidden = !this.truth.length;
    this.timeline.paint();
    this.dispatchEvent(new Event("edit"));
  }

  #moved() {
    const { time, seconds } = this.player;
    if (!this.player.paused) this.#follow(time);
    byId("time").textContent = `${clock(time, 1)} / ${clock(seconds, 1)}`;
    const slider = this.timeline.overlay.canvas;
    slider.setAttribute("aria-valuemax", seconds.toFixed(1));
    slider.setAttribute("aria-valuenow", time.toFixed(1));
    slider.setAttribute("aria-valuetext", this.timeline.describe(time));
    this.timeline.paintOverlay();
  }

  // During playback, the position stays visible.
  #follow(time) {
    const { view } = this;
    if (!view.isWhole && (time > view.to || time < view.from)) view.show(time, time + view.length);
  }

  #playing() {
    const { paused } = this.player;
    byId("play").classList.toggle("playing", !paused);
    byId("play").setAttribute("aria-label", paused ? "Play" : "Pause");
  }

  #unplayable() {
    byId("stage").hidden = true;
    this.dispatchEvent(new CustomEvent("message", {
      detail: "This browser cannot play the video file; the timeline works without it.",
    }));
  }

  #tip(hit, place) {
    const tip = byId("tip");
    tip.hidden = !hit;
    if (!hit) return;
    const { segment, run, kind } = hit;
    const parts = [`${clock(segment.start, 2)} – ${clock(segment.end, 2)}`];
    if (segment.label) parts.unshift(segment.label);
    if (kind === "proposal") {
      const name = this.runs.length > 1 ? `${LETTERS[run.number]} ` : "";
      parts.unshift(`${name}#${segment.rank}`);
      parts.push(`score ${segment.score.toFixed(3)}`);
      if (this.truth.length) parts.push(`tIoU ${Math.max(...this.truth.map((t) => overlap(segment, t))).toFixed(2)}`);
    }
    tip.textContent = parts.join(" · ");
    const left = Math.min(Math.max(place.x - tip.offsetWidth / 2, 4), this.timeline.width - tip.offsetWidth - 4);
    tip.style.transform = `translate(${left}px, ${hit.box.y - tip.offsetHeight - 6}px)`;
  }

  // The user's actions.

  goTo(seconds) {
    this.player.goTo(seconds);
  }

  step(seconds) {
    this.goTo(this.player.time + seconds);
    this.view.reveal(this.player.time);
  }

  get cell() {
    const curves = this.runs.find((run) => run.curves)?.curves;
    return curves ? curves.span / curves.cells : 0.04;
  }

  playProposal(run, p) {
    this.choose(run, p);
    this.player.playOnly(p);
  }

  choose(run, p) {
    this.chosen = { ...p, run };
    if (this.editor) this.editor.selected = -1;
    this.view.reveal(p.start, p.end);
    this.#tables();
    this.timeline.paint();
  }

  // Return the next proposal, or the previous one, by start.
  neighbour(direction) {
    const all = this.runs.filter((run) => run.shown)
      .flatMap((run) => run.visible.map((p) => ({ run, p })))
      .sort((a, b) => a.p.start - b.p.start || a.p.rank - b.p.rank);
    if (!all.length) return;
    const now = all.findIndex(({ run, p }) => run === this.chosen?.run && p.rank === this.chosen?.rank);
    const after = all.findIndex(({ p }) => p.start > this.player.time);
    const from = direction > 0 ? (after < 0 ? 0 : after) : (after < 0 ? all.length : after) - 1;
    const index = now >= 0 ? now + direction : from;
    const { run, p } = all[(index + all.length) % all.length];
    this.choose(run, p);
    this.goTo(p.start);
  }

  playChosen() {
    const segment = this.editor?.segments?.[this.editor.selected] ?? this.chosen;
    if (!segment) return false;
    this.player.playOnly(segment);
    return true;
  }

  toggleRun(number) {
    const run = this.runs[number];
    if (!run || this.runs.length < 2) return false;
    this.shown[number] = run.shown = !run.shown;
    this.#filter();
    this.dispatchEvent(new Event("runs"));
    return true;
  }

  take(p) {
    if (!this.editor) return;
    const index = this.editor.add(p.start, p.end, p.label);
    this.editor.select(index);
  }

  addHere() {
    const from = Math.min(this.player.time, this.view.seconds - 0.1);
    this.editor.add(from, Math.min(from + Math.max(this.view.length / 20, 0.5), this.view.seconds));
  }

  focusLabel() {
    const input = document.querySelector("#segments .chosen .label");
    input?.focus();
    return input !== null;
  }

  setEdge(edge) {
    const { editor, player } = this;
    const segment = editor?.segments?.[editor.selected];
    if (!segment) return false;
    editor.edit(editor.selected, { [edge]: player.time });
    return true;
  }
}
