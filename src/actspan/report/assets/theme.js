// Runs before anything is drawn, so that the page does not flash in the other theme.
try {
  const kept = localStorage.getItem("actspan-theme");
  if (kept === "light" || kept === "dark") document.documentElement.dataset.theme = kept;
} catch {
  // Storage may be disabled for a page that was opened from disk.
}
