// Keep the proposals of an uploaded file as a run, so that they can be corrected and exported.

/** @import { Opening } from "../opening.js" */
/** @import { Store } from "../store.js" */

import { goTo, readAddress } from "../address.js";
import * as api from "../api.js";
import * as requests from "./requests.js";
import { button, byId, field } from "../dom.js";

/**
 * @param {Store} store
 * @param {Opening} opening
 */
export function keepForm(store, opening) {
  const form = byId("keep-upload");
  store.on("video", () => {
    const { video } = store, address = readAddress();
    form.hidden = !video || address.job === undefined;
    byId("upload-error").textContent = "";
    if (video && !form.hidden) field("keep-name").value = video.id.replace(/\.[^.]*$/, "");
  });
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const address = readAddress();
    if (address.job === undefined) return;
    button("keep-start").disabled = true;
    try {
      const { video } = await requests.keepUpload(address.job, field("keep-name").value);
      await opening.addRuns();
      goTo({ id: video });
    } catch (error) {
      byId("upload-error").textContent = api.messageOf(error);
    }
    button("keep-start").disabled = false;
  });
}
