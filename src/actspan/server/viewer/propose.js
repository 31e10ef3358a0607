// Proposals for new features or videos: a chosen or dropped file becomes a job, its result can be kept as a run.

/** @import { ModelInfo } from "./types.js" */
/** @import { Opening } from "./opening.js" */
/** @import { Store } from "./store.js" */

import { addressOf, goTo, readAddress } from "./address.js";
import * as api from "./api.js";
import { closable } from "./dialogs.js";
import { button, byId, dialog, element, field, make, press } from "./dom.js";
import { say } from "./messages.js";

const NO_MODEL = "A file that is dropped needs a model of the command line: start actspan serve with --model.";
const BY_FOLDER = " Without one, copy it into the folder of the videos, start the service again, and propose (W).";

/** @param {Opening} opening */
export async function proposeDialog(opening) {
  const { model } = await api.service();
  if (!model) return;
  const one = closable("propose");
  describe(model);
  let asking = new AbortController();
  byId("open-propose").hidden = false;
  press("open-propose", () => {
    one.showModal();
    listJobs().catch((error) => tell(api.messageOf(error)));
  });
  press("propose-cancel", () => one.close());
  one.addEventListener("close", () => asking.abort());
  byId("propose-form").addEventListener("submit", async (event) => {
    event.preventDefault();
    const file = field("file").files?.[0];
    if (!file) return;
    asking = new AbortController();
    button("propose-start").disabled = true;
    try {
      tell("Uploading…");
      const job = await api.submitJob(file, queryOf(file, model), asking.signal);
      opening.files.set(job.id, file);
      tell("");
      one.close();
      goTo({ job: job.id });
    } catch (error) {
      tell(api.wasAborted(error) ? "" : api.messageOf(error));
    }
    button("propose-start").disabled = false;
  });
}

/** @param {ModelInfo} model */
function describe({ takes_videos: takesVideos, stride }) {
  field("file").accept = takesVideos ? ".npy,.arrow,video/*" : ".npy,.arrow";
  byId("file-kinds").textContent = takesVideos ? "Features (.npy, Arrow) or a video" : "Features (.npy, Arrow)";
  byId("stride-field").hidden = stride !== null;
  field("stride").required = stride === null;
}

/**
 * @param {File} file
 * @param {ModelInfo} model
 * @returns {Record<string, string>}
 */
function queryOf(file, { stride, labels }) {
  const query = { name: file.name.slice(0, 200), keep: "true", detections: String(labels.length > 0) };
  return stride === null ? { ...query, stride: field("stride").value } : query;
}

/** @param {string} text */
function tell(text) {
  byId("propose-state").textContent = text;
}

// List the results that the service keeps.
async function listJobs() {
  const { jobs } = await api.listJobs();
  const room = byId("jobs");
  byId("jobs-title").hidden = !jobs.length;
  room.replaceChildren();
  for (const { id, name, state } of jobs) {
    const item = make(room, "li");
    const link = make(item, "a", { href: addressOf({ job: id }) }, name || id);
    link.addEventListener("click", () => dialog("propose").close());
    if (state !== "done") make(item, "span", { className: "soft" }, ` ${state}`);
  }
}

// A file that is dropped anywhere on the page is one to propose in.
export function acceptDrops() {
  let inside = 0; // elements that the file is over
  const over = (/** @type {number} */ count) => {
    inside = count;
    document.body.classList.toggle("dropping", count > 0);
  };
  const listen = (/** @type {string} */ name, /** @type {(event: DragEvent) => void} */ handle) =>
    document.addEventListener(name, (event) => {
      if (event instanceof DragEvent && event.dataTransfer?.types.includes("Files")) handle(event);
    });
  listen("dragenter", () => over(inside + 1));
  listen("dragleave", () => over(Math.max(inside - 1, 0)));
  listen("dragover", (event) => event.preventDefault());
  listen("drop", (event) => {
    event.preventDefault();
    over(0);
    if (event.dataTransfer) dropped(event.dataTransfer.files);
  });
}

/** @param {FileList} files */
function dropped(files) {
  if (byId("open-propose").hidden) say("drop", NO_MODEL + (byId("open-work").hidden ? "" : BY_FOLDER));
  else if (files.length !== 1) say("drop", `${files.length} files were dropped. Drop one file at a time.`);
  else {
    say("drop", "");
    field("file").files = files;
    if (!dialog("propose").open) dialog("propose").showModal();
    const form = element("propose-form", HTMLFormElement);
    if (form.checkValidity()) form.requestSubmit(); // otherwise the stride is missing
  }
}

/**
 * Keep the proposals of a file as a run, so that they can be corrected and exported.
 * @param {Store} store
 * @param {Opening} opening
 */
export function keepForm(store, opening) {
  const form = byId("keep-upload");
  store.on("video", () => {
    const { video } = store;
    form.hidden = !video || readAddress().job === undefined;
    byId("upload-error").textContent = "";
    if (video && !form.hidden) field("keep-name").value = video.id.replace(/\.[^.]*$/, "");
  });
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const { job } = readAddress();
    if (job === undefined) return;
    button("keep-start").disabled = true;
    try {
      const { video } = await api.keepUpload(job, field("keep-name").value);
      await opening.addRuns();
      goTo({ id: video });
    } catch (error) {
      byId("upload-error").textContent = api.messageOf(error);
    }
    button("keep-start").disabled = false;
  });
}
