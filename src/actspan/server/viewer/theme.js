// Runs before anything is drawn, so that the page never flashes in the other colours.
try {
  const kept = localStorage.getItem("actspan-theme");
  if (kept === "light" || kept === "dark") document.documentElement.dataset.theme = kept;
} catch {
  // storage may be forbidden; the choice then lasts as long as the page
}
