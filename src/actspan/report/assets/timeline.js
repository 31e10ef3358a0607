// A video over time: decoded from the page's data and drawn as SVG when it comes into view.

const data = JSON.parse(document.getElementById("data").textContent);
const LETTERS = "ABCDEFG";
const CURVES = 52, LANE = 16, BAR = 6, AXIS = 18, GAP = 10;
const rated = data.tiou !== null;
const withCurves = data.runs.map((_, r) => data.videos.some((video) => video.runs[r].curves));
const STEPS = [0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400];

function bytes(text) {
  return Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
}

// base64 of little-endian float32: starts, ends and, for proposals, scores.
function segments(text, columns) {
  const view = new DataView(bytes(text).buffer);
  const count = view.byteLength / 4 / columns;
  const at = (column, i) => view.getFloat32(4 * (column * count + i), true);
  return Array.from({ length: count }, (_, i) => ({
    start: at(0, i), end: at(1, i), score: columns > 2 ? at(2, i) : null,
  }));
}

function overlap(a, b) {
  const inner = Math.max(Math.min(a.end, b.end) - Math.max(a.start, b.start), 0);
  const union = a.end - a.start + (b.end - b.start) - inner;
  return union > 0 ? inner / union : 0;
}

// Decode a video into plain objects. An instance is a hit or a miss if it is so in all runs.
function decode(video) {
  const label = (labels, i) => (labels ? (data.labels[labels[i]] ?? "") : "");
  const truth = segments(video.truth, 2).map((s, i) => {
    const ranks = video.runs.map((run) => run.ranks?.[i] ?? -1);
    const found = ranks.filter((rank) => rank >= 0).length;
    const kind = found === ranks.length ? "hit" : found ? "truth" : "miss";
    return { ...s, label: label(video.labels, i), ranks, kind };
  });
  const runs = video.runs.map((run) => ({
    span: run.span,
    curves: run.curves ? bytes(run.curves) : null,
    proposals: segments(run.proposals, 3).map((p, i) => ({
      ...p,
      label: label(run.labels, i),
      tiou: truth.reduce((best, t) => Math.max(best, overlap(p, t)), 0),
      kind: run.hits ? (run.hits[i] ? "hit" : "miss") : "proposal",
    })),
  }));
  return { id: video.id, truth, runs, seconds: video.end };
}

// Seconds as 1:47.0, as everywhere in ActSpan.
function clock(seconds, digits = 1) {
  const unit = 10 ** digits, units = Math.round(Math.max(seconds, 0) * unit);
  const whole = Math.floor(units / unit), hours = Math.floor(whole / 3600);
  const two = (n) => String(n).padStart(2, "0");
  const fraction = digits ? `.${String(units % unit).padStart(digits, "0")}` : "";
  const minutes = Math.floor(whole / 60) % 60;
  return `${hours ? `${hours}:${two(minutes)}` : minutes}:${two(whole % 60)}${fraction}`;
}

const clocks = ({ start, end }) => `${clock(start)} – ${clock(end)}`;

function element(parent, tag, attributes = {}, text = "") {
  const made = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  if (text) made.textContent = text;
  parent.append(made);
  return made;
}

function describe(video) {
  const missed = video.truth.filter((t) => t.kind === "miss").length;
  const best = video.runs.map((run, r) => {
    const first = run.proposals[0];
    const name = data.runs.length > 1 ? ` of run ${LETTERS[r]}` : "";
    return first ? `best proposal${name}: ${clocks(first)}` : `no proposals${name}`;
  });
  const by = data.runs.length > 1 ? "missed by all runs" : "missed";
  const count = `instances: ${video.truth.length}${missed ? `, ${by}: ${missed}` : ""}`;
  return `Timeline of ${video.id}, ${clock(video.seconds)}: ${count}; ${best.join("; ")}.`;
}

// Draw a video on an axis of `seconds`; all timelines of a page have the same rows.
function timeline(video, width, seconds) {
  const left = width < 480 ? 34 : 56;
  const x = (time) => left + (time / seconds) * (width - left - 6);
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  const shades = element(svg, "g");
  let y = 2;
  if (rated) {
    y += drawTruth(svg, video.truth, x, y) + 6;
  }
  video.runs.forEach((run, r) => {
    if (data.runs.length > 1) element(svg, "text", { class: "strong", x: 2, y: y + 10 }, LETTERS[r]);
    if (run.curves) drawCurves(svg, run, x, y);
    if (withCurves[r]) y += CURVES + 5;
    drawProposals(svg, run, x, y);
    y += BAR * Math.max(data.rows, 2) + GAP;
  });
  for (const t of video.truth) {
    const box = { x: x(t.start), width: x(t.end) - x(t.start), y: 2, height: y - GAP };
    element(shades, "rect", { class: "shade", ...box });
  }
  drawAxis(svg, video.seconds, seconds, x, y, width - left);
  const attributes = {
    class: "timeline", viewBox: `0 0 ${width} ${y + AXIS}`, role: "img", "aria-label": describe(video),
  };
  for (const [name, value] of Object.entries(attributes)) svg.setAttribute(name, value);
  return svg;
}

// Lanes of instances, so that nested and overlapping ones are drawn below each other.
function lanesOf(truth) {
  const ends = [];
  return truth.map((t) => {
    const free = ends.findIndex((end) => end <= t.start + 1e-6);
    const lane = free < 0 ? ends.length : free;
    ends[lane] = t.end;
    return lane;
  });
}

function drawTruth(svg, truth, x, y) {
  element(svg, "text", { class: "tick", x: 2, y: y + 12 }, "truth");
  const order = [...truth].sort((a, b) => a.start - b.start), lanes = lanesOf(order);
  order.forEach((t, i) => {
    const top = y + lanes[i] * (LANE + 2);
    const wide = Math.max(x(t.end) - x(t.start) - 2, 1); // a gap between instances that touch
    const bar = element(svg, "rect", { class: t.kind, x: x(t.start), y: top, width: wide, height: LANE });
    element(bar, "title", {}, `${t.label} ${clocks(t)}: ${outcome(t)}`.trim());
    const room = Math.floor((wide - 6) / 5.6);
    const mark = { hit: "✓", miss: "✗", truth: `✓${finders(t)}` }[t.kind], name = `${mark} ${t.label}`.trim();
    const text = name.length > room ? `${name.slice(0, room - 1)}…` : name;
    const place = { class: `on-${t.kind}`, x: x(t.start) + 4, y: top + 12 };
    if (room > 2) element(svg, "text", place, text);
    else if (wide > 8 && mark) element(svg, "text", { ...place, x: place.x - 2 }, mark);
  });
  return LANE + (LANE + 2) * Math.max(...lanes, 0);
}

const finders = ({ ranks }) => ranks.map((rank, r) => (rank < 0 ? "" : LETTERS[r])).join("");

// Say which proposal finds an instance, in each run.
function outcome(instance) {
  const one = (rank) => (rank < 0 ? "missed" : `found by proposal ${rank + 1}`);
  const several = instance.ranks.length > 1;
  return instance.ranks.map((rank, r) => `${several ? `${LETTERS[r]} ` : ""}${one(rank)}`).join(", ");
}

function drawCurves(svg, run, x, y) {
  const cells = run.curves.length / 3;
  const at = (c, i) => [
    x(((i + 0.5) / cells) * run.span).toFixed(1),
    (y + CURVES * (1 - run.curves[c * cells + i] / 255)).toFixed(1),
  ].join();
  const points = (c) => Array.from({ length: cells }, (_, i) => at(c, i)).join(" ");
  const foot = y + CURVES;
  element(svg, "line", { class: "grid", x1: x(0), x2: x(run.span), y1: foot, y2: foot });
  const half = run.span / cells / 2; // a cell's value stands at its centre
  const filled = `${x(half)},${foot} ${points(0)} ${x(run.span - half)},${foot}`;
  element(svg, "polygon", { class: "action", points: filled });
  const [action, start, end] = [0, 1, 2].map(points);
  element(svg, "polyline", { class: "action-line", points: action });
  element(svg, "polyline", { class: "start", points: start });
  if (end !== start) element(svg, "polyline", { class: "end", points: end }); // label-free, they are the same
}

function drawProposals(svg, run, x, y) {
  run.proposals.forEach((p, rank) => {
    const box = { x: x(p.start), y: y + BAR * rank, width: Math.max(x(p.end) - x(p.start), 1) };
    const bar = element(svg, "rect", { class: p.kind, height: BAR - 2, ...box });
    const fit = rated ? `, tIoU ${p.tiou.toFixed(2)}` : "";
    element(bar, "title", {}, `${rank + 1}: ${p.label} ${clocks(p)}, score ${p.score.toFixed(3)}${fit}`);
  });
  if (!run.proposals.length) element(svg, "text", { class: "tick", x: x(0), y: y + 10 }, "no proposals");
}

// The axis ends where the video ends, which may be before the end of a shared axis.
function drawAxis(svg, length, seconds, x, y, width) {
  element(svg, "line", { class: "grid", x1: x(0), x2: x(length), y1: y - 4, y2: y - 4 });
  const most = Math.max(width / 70, 2);
  const step = STEPS.find((s) => seconds / s <= most) ?? Math.ceil(seconds / most / 3600) * 3600;
  for (let k = 0; k * step <= length; k += 1) {
    const place = x(k * step), anchor = k ? "middle" : "start";
    element(svg, "line", { class: "zero", x1: place, x2: place, y1: y - 6, y2: y - 2 });
    const text = clock(k * step, step < 1 ? 1 : 0);
    element(svg, "text", { class: "tick", x: place, y: y + 9, "text-anchor": anchor }, text);
  }
}
