// Proposals for new features or videos: a file is sent as a job, whose result has an address.

/** @import { ModelInfo } from "./types.js" */
/** @import { Opening } from "./opening.js" */

import { addressOf, goTo } from "./address.js";
import * as api from "./api.js";
import { closable } from "./dialogs.js";
import { button, byId, field, make, press } from "./dom.js";

/** @param {Opening} opening */
export async function proposeDialog(opening) {
  const { model } = await api.service();
  if (!model) return;
  const dialog = closable("propose");
  describe(model);
  let asking = new AbortController();
  byId("open-propose").hidden = false;
  press("open-propose", () => {
    dialog.showModal();
    listJobs().catch((error) => tell(api.messageOf(error)));
  });
  press("propose-cancel", () => dialog.close());
  dialog.addEventListener("close", () => asking.abort());
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
      dialog.close();
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
    link.addEventListener("click", () => byId("propose").closest("dialog")?.close());
    if (state !== "done") make(item, "span", { className: "soft" }, ` ${state}`);
  }
}
