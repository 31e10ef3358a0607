// Parts of the page around the video: theme, dialogs, the drawer of videos on a phone, messages.

import { exportUrl } from "./api.js";
import { byId, make } from "./text.js";

const dark = matchMedia("(prefers-color-scheme: dark)");

function isDark() {
  return (document.documentElement.dataset.theme ?? (dark.matches ? "dark" : "light")) === "dark";
}

export function followTheme(changed) {
  const name = () => byId("theme").setAttribute("aria-label", `${isDark() ? "Light" : "Dark"} colours`);
  byId("theme").addEventListener("click", () => {
    const theme = isDark() ? "light" : "dark";
    document.documentElement.dataset.theme = theme;
    try {
      localStorage.setItem("actspan-theme", theme);
    } catch {
      // Storage may be disabled; the setting then lasts until the page is closed.
    }
    name();
    changed();
  });
  dark.addEventListener("change", () => {
    name();
    changed();
  });
  name();
}

export function say(message) {
  byId("message").textContent = message;
  byId("message").hidden = !message;
}

// The list of videos, on screens where it does not fit beside the video.
export function drawer() {
  const button = byId("open-list");
  const show = (open) => {
    document.body.classList.toggle("listing", open);
    button.setAttribute("aria-expanded", String(open));
  };
  button.addEventListener("click", () => {
    const open = !document.body.classList.contains("listing");
    show(open);
    if (open) byId("find").focus();
  });
  byId("side").addEventListener("keydown", (event) => {
    if (event.key !== "Escape" || !document.body.classList.contains("listing")) return;
    show(false);
    button.focus();
  });
  return { close: () => show(false), open: () => show(true) };
}

// A click outside a dialog closes it, like Escape.
function closable(dialog) {
  dialog.addEventListener("click", (event) => event.target === dialog && dialog.close());
}

export function helpDialog() {
  closable(byId("help"));
  byId("open-help").addEventListener("click", () => byId("help").showModal());
}

export function exportDialog(about) {
  const dialog = byId("export");
  closable(dialog);
  for (const { name, what } of about.forms) make(byId("export-form"), "option", { value: name }, what);
  const link = () => {
    const query = { form: byId("export-form").value, everything: byId("everything").checked };
    byId("download").href = exportUrl(query);
  };
  for (const id of ["export-form", "everything"]) byId(id).addEventListener("change", link);
  byId("everything").closest("label").hidden = !about.ground_truth;
  byId("open-export").addEventListener("click", () => {
    link();
    dialog.showModal();
  });
}
