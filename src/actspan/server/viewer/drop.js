// A file that is dropped anywhere on the page is one to propose in.

import { byId, dialog, element, field } from "./dom.js";
import { say } from "./messages.js";

const NO_MODEL = "No model is served, so nothing can be proposed in a new file. Start actspan serve with --model.";

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
    if (event.dataTransfer) propose(event.dataTransfer.files);
  });
}

/** @param {FileList} files */
function propose(files) {
  if (byId("open-propose").hidden) say("drop", NO_MODEL);
  else if (files.length !== 1) say("drop", `${files.length} files were dropped. Drop one file at a time.`);
  else {
    say("drop", "");
    field("file").files = files;
    if (!dialog("propose").open) dialog("propose").showModal();
    const form = element("propose-form", HTMLFormElement);
    if (form.checkValidity()) form.requestSubmit(); // otherwise the stride is missing
  }
}
