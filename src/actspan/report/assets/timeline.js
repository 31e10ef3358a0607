// A video over time: decoded from the page's data and drawn as SVG when it comes into view.

const data = JSON.parse(document.getElementById("data").textContent);
const LETTERS = "ABCDEFG";
const CURVES = 52, LANE = 16, BAR = 6, AXIS = 18, GAP = 10;
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

// Decode a video into plain objects.
function decode(video) {
  const label = (labels, i) => (labels ? (data.labels[labels[i]] ?? "") : "");
  const truth = segments(video.truth, 2).map((s, i) => ({ ...s, label: label(video.labels, i) }));
  const runs = video.runs.map((run) => ({
    span: run.span,
    curves: run.curves ? bytes(run.curves) : null,
    proposals: segments(run.proposals, 3).map((p, i) => ({
      ...p,
      label: label(run.labels, i),
      tiou: truth.reduce((best, t) => Math.max(best, overlap(p, t)), 0),
    })),
  }));
  const ends = [video.seconds ?? 0, ...runs.map((run) => run.span ?? 0), ...truth.map((t) => t.end)];
  for (const run of runs) ends.push(...run.proposals.map((p) => p.end));
  return { id: video.id, truth, runs, seconds: Math.max(...ends, 0.1) };
}

function clock(seconds, digits = 0) {
  if (seconds < 120) return `${seconds.toFixed(digits)} s`;
  const whole = Math.floor(seconds), hours = Math.floor(whole / 3600);
  const two = (n) => String(n).padStart(2, "0");
  const fraction = digits ? (seconds - whole).toFixed(digits).slice(1) : "";
  const minutes = Math.floor(whole / 60) % 60;
  const rest = `${two(whole % 60)}${fraction}`;
  return hours ? `${hours}:${two(minutes)}:${rest}` : `${minutes}:${rest}`;
}

function element(parent, tag, attributes = {}, text = "") {
  const made = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  if (text) made.textContent = text;
  parent.append(made);
  return made;
}

function describe(video) {
  const count = video.truth.length;
  const best = video.runs.map((run, r) => {
    const first = run.proposals[0];
    const name = data.runs.length > 1 ? ` of run ${LETTERS[r]}` : "";
    return first
      ? `best proposal${name}: ${clock(first.start, 1)} to ${clock(first.end, 1)}`
      : `no proposals${name}`;
  });
  return `Timeline of ${video.id}, ${clock(video.seconds)}: instances: ${count}; ${best.join("; ")}.`;
}

function timeline(video, width) {
  const left = width < 480 ? 34 : 56;
  const x = (seconds) => left + (seconds / video.seconds) * (width - left - 6);
  const several = data.runs.length > 1;
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  const shades = element(svg, "g");
  let y = 2;
  if (video.truth.length) {
    drawTruth(svg, video.truth, x, y);
    y += LANE + 6;
  }
  video.runs.forEach((run, r) => {
    if (several) element(svg, "text", { class: "strong", x: 2, y: y + 10 }, LETTERS[r]);
    if (run.curves) {
      drawCurves(svg, run, x, y);
      y += CURVES + 5;
    }
    drawProposals(svg, run, x, y, video.truth.length > 0);
    y += BAR * Math.max(run.proposals.length, 2) + GAP;
  });
  for (const t of video.truth) {
    const box = { x: x(t.start), width: x(t.end) - x(t.start), y: 2, height: y - GAP };
    element(shades, "rect", { class: "shade", ...box });
  }
  drawAxis(svg, video.seconds, x, y, width - left);
  const attributes = {
    class: "timeline", viewBox: `0 0 ${width} ${y + AXIS}`, role: "img", "aria-label": describe(video),
  };
  for (const [name, value] of Object.entries(attributes)) svg.setAttribute(name, value);
  return svg;
}

function drawTruth(svg, truth, x, y) {
  element(svg, "text", { class: "tick", x: 2, y: y + 12 }, "truth");
  for (const t of truth) {
    const wide = Math.max(x(t.end) - x(t.start) - 2, 1); // a gap between instances that touch
    const bar = element(svg, "rect", { class: "truth", x: x(t.start), y, width: wide, height: LANE });
    element(bar, "title", {}, `${t.label} ${clock(t.start, 1)} to ${clock(t.end, 1)}`);
    const room = Math.floor((wide - 6) / 5.6);
    const text = t.label.length > room ? `${t.label.slice(0, room - 1)}…` : t.label;
    if (room > 2) element(svg, "text", { class: "on-truth", x: x(t.start) + 4, y: y + 12 }, text);
  }
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
  ["action-line", "start", "end"].forEach((kind, c) => {
    element(svg, "polyline", { class: kind, points: points(c) });
  });
}

function drawProposals(svg, run, x, y, rated) {
  run.proposals.forEach((p, rank) => {
    const box = { x: x(p.start), y: y + BAR * rank, width: Math.max(x(p.end) - x(p.start), 1) };
    const solid = rated ? 0.08 + 0.92 * p.tiou ** 2 : 0.6;
    const bar = element(svg, "rect", {
      class: "proposal", height: BAR - 2, "fill-opacity": solid.toFixed(2), ...box,
    });
    const fit = rated ? `, tIoU ${p.tiou.toFixed(2)}` : "";
    const what = `${rank + 1}: ${p.label} ${clock(p.start, 1)} to ${clock(p.end, 1)}`;
    element(bar, "title", {}, `${what}, score ${p.score.toFixed(3)}${fit}`);
  });
  if (!run.proposals.length) element(svg, "text", { class: "tick", x: x(0), y: y + 10 }, "no proposals");
}

function drawAxis(svg, seconds, x, y, width) {
  const most = Math.max(width / 70, 2);
  const step = STEPS.find((s) => seconds / s <= most) ?? Math.ceil(seconds / most / 3600) * 3600;
  for (let k = 0; k * step <= seconds; k += 1) {
    const place = x(k * step), anchor = k ? "middle" : "start";
    element(svg, "line", { class: "zero", x1: place, x2: place, y1: y - 6, y2: y - 2 });
    const text = clock(k * step, step < 1 ? 1 : 0);
    element(svg, "text", { class: "tick", x: place, y: y + 9, "text-anchor": anchor }, text);
  }
}
