// Theme, help and export.

/** @import { Overview } from "./types.js" */

import { exportContents, exportFile, exportUrl, messageOf } from "./api.js";
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
  const update = async () => {
    const everything = field("everything").checked, link = byId("download");
    byId("export-error").textContent = "";
    link.setAttribute("href", exportUrl({ form: choice("export-form").value, everything }));
    try {
      const contents = await exportContents(everything), isEmpty = contents.videos === 0;
      if (isEmpty) link.removeAttribute("href");
      link.setAttribute("aria-disabled", String(isEmpty));
      byId("export-count").textContent = contentsOf(contents, everything);
    } catch (error) {
      byId("export-count").textContent = messageOf(error);
    }
  };
  byId("download").addEventListener("click", async (event) => {
    event.preventDefault();
    try {
      await download(byId("download").getAttribute("href"));
      byId("export-error").textContent = "";
    } catch (error) {
      byId("export-error").textContent = messageOf(error);
    }
  });
  for (const id of ["export-form", "everything"]) byId(id).addEventListener("change", update);
  byId("everything-option").hidden = !about.ground_truth;
  press("open-export", () => {
    one.showModal();
    update();
  });
}

/**
 * Save an export; a link to it would fail without a word if the service refuses it.
 * @param {string | null} address
 */
async function download(address) {
  if (address === null) return;
  const { name, content } = await exportFile(address), href = URL.createObjectURL(content);
  make(null, "a", { href, download: name }).click();
  URL.revokeObjectURL(href);
}

/**
 * Describe what an export contains.
 * @param {{ videos: number, segments: number, empty_videos: number }} contents
 * @param {boolean} isEverything
 */
function contentsOf({ videos, segments, empty_videos: empty }, isEverything) {
  if (!videos) return "No video has been corrected, so there is nothing to export.";
  const without = empty ? `; ${empty.toLocaleString("en")} without segments` : "";
  return `${plural(videos, isEverything ? "video" : "corrected video")}, ${plural(segments, "segment")}${without}.`;
}
