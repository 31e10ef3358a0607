// Start the page: the overview, the list, and the video in the address.

import * as api from "./api.js";
import { listen } from "./keys.js";
import { List } from "./list.js";
import { drawer, exportDialog, followTheme, helpDialog, say } from "./page.js";
import { proposeDialog } from "./propose.js";
import { Settings } from "./settings.js";
import { byId, LETTERS, make } from "./text.js";
import { COLOURS, Workspace } from "./workspace.js";

const addressed = () => new URLSearchParams(location.hash.slice(1));

function legend(about, workspace) {
  const room = byId("runs");
  room.replaceChildren();
  about.runs.forEach((run, r) => {
    const item = make(room, "li");
    const several = about.runs.length > 1;
    if (!several) {
      make(item, "span", { className: "run-name" }, run.name);
      return;
    }
    const chip = make(item, "button", { type: "button", className: `chip run${COLOURS[r]}` });
    chip.setAttribute("aria-pressed", String(workspace.shown[r]));
    chip.addEventListener("click", () => workspace.toggleRun(r));
    make(chip, "b", {}, LETTERS[r]);
    make(chip, "span", {}, ` ${run.name}`);
  });
}

function playback(workspace) {
  const { player, view } = workspace;
  const press = (id, action) => byId(id).addEventListener("click", action);
  press("play", () => player.toggle());
  press("previous", () => workspace.neighbour(-1));
  press("next", () => workspace.neighbour(1));
  press("zoom-in", () => view.zoom(0.5, player.time));
  press("zoom-out", () => view.zoom(2, player.time));
  press("zoom-all", () => view.show(0, view.seconds));
  byId("loop").addEventListener("change", () => { player.loop = byId("loop").checked; });
  byId("rate").addEventListener("change", () => player.setRate(Number(byId("rate").value)));
}

function corrections(about, workspace) {
  const press = (id, action) => byId(id).addEventListener("click", action);
  press("add", () => workspace.addHere());
  press("take-truth", () => workspace.editor.replaceAll(workspace.truth));
  press("take-shown", () => {
    const first = workspace.runs.find((run) => run.shown);
    if (first) workspace.editor.replaceAll(first.visible);
  });
  press("undo", () => workspace.editor.undo());
  press("redo", () => workspace.editor.redo());
  press("forget", () => workspace.editor.forget());
  for (const label of about.labels) make(byId("labels"), "option", { value: label });
}

function keyboard(workspace, list, goTo) {
  const { player, view } = workspace;
  const editing = (action) => () => workspace.editor && action(workspace.editor);
  const neighbour = (step) => () => {
    const id = list.neighbour(step);
    if (id === undefined) return false;
    goTo(id);
    return true;
  };
  listen({
    toggle: () => player.toggle(), help: () => byId("help").showModal(),
    back: () => workspace.step(-1), on: () => workspace.step(1),
    farBack: () => workspace.step(-10), farOn: () => workspace.step(10),
    cellBack: () => workspace.step(-workspace.cell), cellOn: () => workspace.step(workspace.cell),
    start: () => workspace.step(-Infinity), end: () => workspace.step(Infinity),
    previous: () => workspace.neighbour(-1), next: () => workspace.neighbour(1),
    playChosen: () => workspace.playChosen(),
    zoomIn: () => view.zoom(0.5, player.time), zoomOut: () => view.zoom(2, player.time),
    zoomAll: () => view.show(0, view.seconds),
    nextVideo: neighbour(1), previousVideo: neighbour(-1), find: () => byId("find").focus(),
    run0: () => workspace.toggleRun(0), run1: () => workspace.toggleRun(1),
    add: editing(() => workspace.addHere()),
    take: () => (workspace.chosen ? workspace.take(workspace.chosen) : false),
    setStart: editing(() => workspace.setEdge("start")), setEnd: editing(() => workspace.setEdge("end")),
    label: () => workspace.focusLabel(),
    remove: editing((editor) => (editor.selected < 0 ? false : editor.remove(editor.selected))),
    undo: editing((editor) => editor.undo()), redo: editing((editor) => editor.redo()),
  });
}

async function start() {
  const about = await api.about();
  const settings = new Settings(about);
  const workspace = new Workspace(about, settings);
  const side = drawer();
  const goTo = (id) => { location.hash = new URLSearchParams({ id }); };
  const list = new List(about, goTo);
  const show = async (id) => {
    side.close();
    say("");
    list.mark(id);
    try {
      await workspace.open(id);
    } catch (error) {
      if (error.name !== "AbortError") say(error.message);
    }
  };

  followTheme(() => workspace.timeline.recolour());
  helpDialog();
  exportDialog(about);
  legend(about, workspace);
  playback(workspace);
  corrections(about, workspace);
  keyboard(workspace, list, goTo);
  workspace.addEventListener("runs", () => legend(about, workspace));
  workspace.addEventListener("message", (event) => say(event.detail));
  workspace.addEventListener("edit", () => workspace.editor?.state === "saved" && list.refresh());
  addEventListener("hashchange", () => addressed().has("id") && show(addressed().get("id")));
  addEventListener("beforeunload", (event) => workspace.unsaved && event.preventDefault());

  proposeDialog(workspace, () => {
    list.mark("");
    say("");
  }).catch((error) => say(error.message));

  const id = addressed().get("id");
  const listed = list.reload();
  if (id !== null) await show(id);
  else {
    await listed;
    if (list.total) await show(list.at(0).id);
    else nothing(about);
  }
  document.body.dataset.ready = "true";
  performance.mark("usable");
}

function nothing(about) {
  byId("empty").hidden = false;
  byId("empty").textContent = about.runs.length
    ? "The served runs contain no videos."
    : "No run is served. Start the service with actspan serve --results RUN to show one. With --model, use Propose to find segments in a new recording.";
}

start().catch((error) => say(error.message));
