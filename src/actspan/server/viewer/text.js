// Times and numbers as text, and elements with text.

export const LETTERS = "ABCDEFG";

// 12.3 s, 4:05.2, 1:02:03
export function clock(seconds, digits = 0) {
  if (!Number.isFinite(seconds)) return "–";
  const unit = 10 ** digits, rounded = Math.round(seconds * unit) / unit;
  if (rounded < 60) return `${rounded.toFixed(digits)} s`;
  const two = (n) => String(n).padStart(2, "0");
  const whole = Math.floor(rounded), hours = Math.floor(whole / 3600);
  const fraction = digits ? (rounded - whole).toFixed(digits).slice(1) : "";
  const minutes = Math.floor(whole / 60) % 60, rest = `${two(whole % 60)}${fraction}`;
  return hours ? `${hours}:${two(minutes)}:${rest}` : `${minutes}:${rest}`;
}

// Parse typed seconds, or 1:02:03.5.
export function parseClock(text) {
  const parts = text.trim().replace(/\s*s$/, "").split(":").map(Number);
  if (!parts.length || parts.length > 3 || !parts.every((p) => Number.isFinite(p) && p >= 0)) return NaN;
  return parts.reduce((total, part) => total * 60 + part, 0);
}

export const plural = (count, one, many = `${one}s`) =>
  `${count.toLocaleString("en")} ${count === 1 ? one : many}`;

export function overlap(a, b) {
  const inner = Math.max(Math.min(a.end, b.end) - Math.max(a.start, b.start), 0);
  const union = a.end - a.start + (b.end - b.start) - inner;
  return union > 0 ? inner / union : 0;
}

export function make(parent, tag, properties = {}, text = "") {
  const made = Object.assign(document.createElement(tag), properties);
  if (text) made.textContent = text;
  parent?.append(made);
  return made;
}

export const byId = (id) => document.getElementById(id);
