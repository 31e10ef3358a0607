// Proposals for new features or videos: they are sent as a job, and the result is shown.

import * as api from "./api.js";
import { byId } from "./text.js";

const AGAIN = 400; // milliseconds between two looks at a job

export async function proposeDialog(workspace, shown) {
  const { model } = await api.service();
  if (!model) return;
  const dialog = byId("propose"), button = byId("propose-start");
  let asking = new AbortController();
  let job = null;

  byId("file").accept = model.takes_videos ? ".npy,.arrow,video/*" : ".npy,.arrow";
  byId("file-kinds").textContent = model.takes_videos ? "Features (.npy, Arrow) or a video" : "Features (.npy, Arrow)";
  byId("stride-field").hidden = model.stride !== null;
  byId("stride").required = model.stride === null;
  byId("open-propose").hidden = false;
  byId("open-propose").addEventListener("click", () => dialog.showModal());
  byId("propose-cancel").addEventListener("click", () => dialog.close());
  dialog.addEventListener("close", () => {
    asking.abort();
    if (job) api.removeJob(job).catch(() => {}); // it may be done and gone
    job = null;
  });

  const tell = (text, share = null) => {
    byId("propose-state").textContent = text;
    byId("progress").hidden = share === null;
    if (share > 0) byId("progress").value = share;
    else byId("progress").removeAttribute("value");
  };

  async function run(file) {
    const { signal } = asking;
    tell("uploading", 0);
    const stride = byId("stride").value;
    const query = { name: file.name.slice(0, 200), ...(stride && !byId("stride-field").hidden && { stride }) };
    let now = await api.submitJob(file, query, signal);
    job = now.id;
    while (now.state === "queued" || now.state === "running") {
      tell(now.state === "queued" ? "waiting" : "computing", now.progress);
      await new Promise((done) => setTimeout(done, AGAIN));
      now = await api.showJob(job, signal);
    }
    if (now.state === "failed") throw new Error(now.error);
    const found = await api.jobResult(job, signal);
    dialog.close();
    show(file, now.kind, found);
  }

  function show(file, kind, { seconds, proposals }) {
    const columns = {
      start: proposals.map((p) => p.segment[0]), end: proposals.map((p) => p.segment[1]),
      score: proposals.map((p) => p.score), labels: null,
    };
    workspace.showNew(file.name, seconds, columns, kind === "video" ? URL.createObjectURL(file) : null);
    shown();
  }

  byId("propose-form").addEventListener("submit", async (event) => {
    event.preventDefault();
    asking = new AbortController();
    button.disabled = true;
    try {
      await run(byId("file").files[0]);
      tell("");
    } catch (error) {
      tell(error.name === "AbortError" ? "" : error.message);
    }
    button.disabled = false;
  });
}
