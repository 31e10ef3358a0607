// The list of videos: cards are added in pages, timelines drawn when they come near.

const PAGE = 20;
const PAPER = 720; // pixels across a printed page
const MUCH_LONGER = 4; // than the median video: too long for an axis with the others
const byId = (id) => document.getElementById(id);

function html(parent, tag, properties = {}, text = "") {
  const made = Object.assign(document.createElement(tag), properties);
  if (text) made.textContent = text;
  parent.append(made);
  return made;
}

// timelines

const placed = [...document.querySelectorAll(".card[data-video]")]; // in the page from the start
const indexOf = (card) => Number(card.dataset.video);
const drawn = new Map(); // place on the page: what it shows, decoded
const near = new IntersectionObserver(
  (entries) => entries.filter((e) => e.isIntersecting).forEach((e) => draw(e.target)),
  { rootMargin: "500px" },
);
const resized = new ResizeObserver((entries) => entries.forEach((e) => redraw(e.target)));

function place(card, index) {
  const id = data.videos[index].id;
  if (data.viewer) card.querySelector(".facts").append(moment(id, 0, "Open in the viewer"));
  const room = html(card, "div", { className: "room" });
  card.querySelector(".facts").after(room);
  room.dataset.video = index;
  near.observe(room);
  const details = html(card, "details");
  const summary = html(details, "summary", {}, "Proposals");
  html(summary, "span", { className: "hidden" }, ` of ${id}`);
  details.addEventListener("toggle", () => fill(details, index), { once: true });
}

function draw(room) {
  near.unobserve(room);
  drawn.set(room, decode(data.videos[room.dataset.video]));
  redraw(room);
  resized.observe(room);
}

// The end of the axis that a timeline shares with the others of its list, shown or not.
function axisOf(room) {
  const list = room.closest("ol");
  const sharing = list.id ? chosen : placed.filter((card) => list.contains(card)).map(indexOf);
  return Math.max(...sharing.map((index) => data.videos[index].end));
}

function redrawAll(width) {
  for (const room of drawn.keys()) {
    delete room.dataset.width;
    redraw(room, width);
  }
}

function redraw(room, width = Math.round(room.clientWidth)) {
  const video = drawn.get(room);
  if (!video || !width || room.dataset.width === String(width)) return;
  room.dataset.width = width;
  room.replaceChildren(timeline(video, width, byId("shared").checked ? axisOf(room) : video.seconds));
}

function fill(details, index) {
  const video = decode(data.videos[index]);
  video.runs.forEach((run, r) => {
    const several = data.runs.length > 1;
    const caption = several ? `${LETTERS[r]} · ${data.runs[r]}` : "Best proposals";
    const labelled = run.proposals.some((p) => p.label);
    const header = ["rank", "start", "end", "score"];
    if (video.truth.length) header.push("tIoU");
    if (labelled) header.push("label");
    const rows = run.proposals.map((p, i) => {
      const row = [`${i + 1}`, moment(video.id, p.start), clock(p.end), p.score.toFixed(3)];
      if (video.truth.length) row.push(p.tiou.toFixed(2));
      if (labelled) row.push(p.label || "–");
      return row;
    });
    addTable(details, caption, header, rows);
  });
}

// A time, as a link to it in the viewer if its address is known.
function moment(id, seconds, text = clock(seconds)) {
  if (!data.viewer) return text;
  const href = `${data.viewer}#${new URLSearchParams({ id, t: seconds.toFixed(2) })}`;
  return Object.assign(document.createElement("a"), { href, textContent: text });
}

function addTable(parent, caption, header, rows) {
  const wide = html(parent, "div", { className: "wide", tabIndex: 0 });
  wide.setAttribute("role", "group");
  wide.setAttribute("aria-label", caption);
  const table = html(wide, "table");
  html(table, "caption", {}, caption);
  const head = html(html(table, "thead"), "tr");
  for (const cell of header) html(head, "th", { scope: "col" }, cell);
  const body = html(table, "tbody");
  for (const row of rows) {
    const line = html(body, "tr");
    row.forEach((cell, i) => html(line, i ? "td" : "th", i ? {} : { scope: "row" }).append(cell));
  }
}

// filter and order

const mean = (values) => values.reduce((sum, v) => sum + v, 0) / values.length;
const places = data.videos.map((_, i) => i);
const text = data.videos.map((video) => {
  const labels = [video.labels, ...video.runs.map((run) => run.labels ?? [])].flat();
  return [video.id, ...new Set(labels.map((l) => data.labels[l] ?? ""))].join("\n").toLowerCase();
});
const seconds = (i) => data.videos[i].end;
const auc = (i, r) => data.videos[i].auc[r];
const rising = (value) => (a, b) => value(a) - value(b);

function orders() {
  const made = new Map();
  const add = (name, value) => made.set(name, rising(value));
  if (rated) {
    const last = (value, i) => (auc(i, 0) === null ? Infinity : value(i)); // videos without an AUC at the end
    const all = (i) => mean(data.videos[i].auc);
    add("worst first", (i) => last(all, i));
    add("best first", (i) => last((j) => -all(j), i));
    if (data.runs.length > 1) {
      data.runs.forEach((_, r) => {
        add(`worst of ${LETTERS[r]} first`, (i) => last((j) => auc(j, r), i));
      });
      const gap = (i) => Math.max(...data.videos[i].auc) - Math.min(...data.videos[i].auc);
      add("largest difference first", (i) => last((j) => -gap(j), i));
    }
  }
  const id = (i) => data.videos[i].id;
  made.set("by id", (a, b) => id(a).localeCompare(id(b), "en", { numeric: true }));
  add("longest first", (i) => -seconds(i));
  if (rated) add("most instances first", (i) => -data.videos[i].labels.length);
  return made;
}

const comparisons = orders();
let chosen = [];
let shown = 0;

function choose() {
  const wanted = byId("find").value.trim().toLowerCase();
  const onlyMissed = byId("missed")?.checked;
  chosen = places.filter(
    (i) => text[i].includes(wanted) && !(onlyMissed && !data.videos[i].missed.some((m) => m > 0)),
  );
  chosen.sort(comparisons.get(byId("order").value));
  for (const room of byId("list").querySelectorAll(".room")) forget(room);
  byId("list").replaceChildren();
  shown = 0;
  showMore();
}

function forget(room) {
  near.unobserve(room);
  resized.unobserve(room);
  drawn.delete(room);
}

function showMore() {
  const next = chosen.slice(shown, shown + PAGE);
  const cards = next.map(addCard);
  shown += next.length;
  const found = chosen.length.toLocaleString("en");
  byId("count").textContent = `videos: ${found}, shown: ${shown.toLocaleString("en")}`;
  byId("more").hidden = shown >= chosen.length;
  return cards[0];
}

function addCard(index) {
  const video = data.videos[index];
  const card = html(byId("list"), "li", { className: "card" });
  const facts = html(card, "div", { className: "facts" });
  html(facts, "h4", { tabIndex: -1 }, video.id);
  html(facts, "p", { className: "about" }, about(index));
  place(card, index);
  return card;
}

function about(index) {
  const video = data.videos[index];
  const parts = [clock(seconds(index))];
  if (video.auc[0] === null) return parts.join(" · ");
  parts.push(`instances: ${video.labels.length}`);
  data.runs.forEach((_, r) => {
    const name = data.runs.length > 1 ? `${LETTERS[r]}: ` : "";
    const missed = video.missed[r] ? `, ${video.missed[r]} missed at the lowest tIoU` : "";
    parts.push(`${name}AUC ${video.auc[r].toFixed(1)}${missed}`);
  });
  return parts.join(" · ");
}

// the page

const dark = matchMedia("(prefers-color-scheme: dark)");
const isDark = () => (document.documentElement.dataset.theme ?? (dark.matches ? "dark" : "light")) === "dark";

function nameTheme() {
  const other = isDark() ? "Light" : "Dark";
  byId("theme").textContent = other;
  byId("theme").setAttribute("aria-label", `${other} colours`);
}

byId("theme").addEventListener("click", () => {
  const theme = isDark() ? "light" : "dark";
  document.documentElement.dataset.theme = theme;
  try {
    localStorage.setItem("actspan-theme", theme);
  } catch {
    // Storage may be disabled; the setting then lasts until the page is closed.
  }
  nameTheme();
});
dark.addEventListener("change", nameTheme);
nameTheme();
byId("theme").hidden = false;

// One axis, unless most videos would be drawn short on it.
const ends = places.map(seconds).sort((a, b) => a - b);
byId("shared").checked = ends.at(-1) <= MUCH_LONGER * ends[ends.length >> 1];
byId("shared").addEventListener("change", () => redrawAll());
byId("shared").closest("p").hidden = ends.length < 2;

for (const card of placed) place(card, indexOf(card));
for (const name of comparisons.keys()) html(byId("order"), "option", { value: name }, name);
let waiting = 0;
byId("order").value = "by id"; // the extremes stand above the list already
byId("find").addEventListener("input", () => {
  clearTimeout(waiting);
  waiting = setTimeout(choose, 120);
});
byId("order").addEventListener("change", choose);
byId("missed")?.addEventListener("change", choose);
byId("more").addEventListener("click", () => showMore()?.querySelector("h4").focus());
document.querySelector("form").addEventListener("submit", (event) => event.preventDefault());
addEventListener("beforeprint", () => {
  for (const room of document.querySelectorAll(".room:not([data-width])")) draw(room);
  redrawAll(PAPER);
});
addEventListener("afterprint", () => redrawAll());
byId("all").hidden = false;
choose();
