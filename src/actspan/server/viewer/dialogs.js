// Theme, help and export.

/** @import { Overview } from "./types.js" */

import { exportUrl, listVideos, messageOf } from "./api.js";
import { byId, choice, dialog, field, make, press } from "./dom.js";
import { remember } from "./remember.js";
import { plural } from "./text.js";

const dark = matchMedia("(prefers-color-scheme: dark)");
const others = [matchMedia("(forced-colors: active)"), matchMedia("print")]; // have colours of their own

function isDark() {
  return (document.documentElement.dataset.theme ?? (dark.matches ? "dark" : "light")) === "dark";
}

/** @param {() => void} changed */
export function followTheme(changed) {
  const name = () => byId("theme").setAttribute("aria-label", `${isDark() ? "Light" : "Dark"} colours`);
  press("theme", () => {
    const theme = isDark() ? "light" : "dark";
    document.documentElement.dataset.theme = theme;
    remember("theme", theme);
    name();
    changed();
  });
  for (const query of [dark, ...others]) {
    query.addEventListener("change", () => {
      name();
      changed();
    });
  }
  name();
}

// A click outside a dialog closes it, like Escape.
/** @param {string} id */
export function closable(id) {
  const one = dialog(id);
  one.addEventListener("click", (event) => event.target === one && one.close());
  return one;
}

export function helpDialog() {
  const help = closable("help");
  press("open-help", () => help.showModal());
}

/** @param {Overview} about */
export function exportDialog(about) {
  const one = closable("export");
  for (const { name, what } of about.forms) make(choice("export-form"), "option", { value: name }, what);
  let corrected = 0;
  const update = () => {
    const everything = field("everything").checked, isEmpty = corrected === 0 && !everything;
    const link = byId("download");
    if (isEmpty) link.removeAttribute("href");
    else link.setAttribute("href", exportUrl({ form: choice("export-form").value, everything }));
    link.setAttribute("aria-disabled", String(isEmpty));
    byId("export-count").textContent = isEmpty
      ? "No video has been corrected, so there is nothing to export."
      : `${plural(corrected, "video")} with corrections${everything ? ", and the ground truth of all others" : ""}.`;
  };
  for (const id of ["export-form", "everything"]) byId(id).addEventListener("change", update);
  byId("everything-option").hidden = !about.ground_truth;
  press("open-export", async () => {
    one.showModal();
    try {
      corrected = await countCorrected();
      update();
    } catch (error) {
      byId("export-count").textContent = messageOf(error);
    }
  });
}

async function countCorrected() {
  const { total } = await listVideos({
    find: "", missed: false, corrected: true, order: "source", descending: false, suppression: [], offset: 0, limit: 1,
  });
  return total;
}
