// Times and numbers as text.

/**
 * Return the letter of a run: A, B, ..., Z, 27, 28, ...
 * @param {number} run from 0
 */
export const letterOf = (run) => (run < 26 ? String.fromCharCode(65 + run) : String(run + 1));

/**
 * Return seconds as text: 0:12.3, 4:05.2, 1:02:03.0.
 * @param {number} seconds
 * @param {number} [digits] decimals of the seconds
 */
export function clock(seconds, digits = 1) {
  if (!Number.isFinite(seconds)) return "–";
  const unit = 10 ** digits, units = Math.round(Math.max(seconds, 0) * unit);
  const whole = Math.floor(units / unit);
  const fraction = digits ? `.${String(units % unit).padStart(digits, "0")}` : "";
  const hours = Math.floor(whole / 3600), minutes = Math.floor(whole / 60) % 60;
  const start = hours ? `${hours}:${two(minutes)}` : `${minutes}`;
  return `${start}:${two(whole % 60)}${fraction}`;
}

/** @param {number} number */
const two = (number) => String(number).padStart(2, "0");

/**
 * Return the span of a segment as text.
 * @param {import("./types.js").Span} span
 * @param {number} [digits]
 */
export const clocks = ({ start, end }, digits = 1) => `${clock(start, digits)} – ${clock(end, digits)}`;

/**
 * Return typed seconds, or minutes and seconds as 1:47.0, in seconds; NaN if it is no time.
 * @param {string} text
 */
export function parseClock(text) {
  const parts = text.trim().replace(/\s*s$/, "").split(":");
  const numbers = parts.map((part) => (/^\d*\.?\d+$|^\d+\.$/.test(part.trim()) ? Number(part) : NaN));
  if (parts.length > 3 || numbers.some(Number.isNaN)) return NaN;
  return numbers.reduce((total, part) => total * 60 + part, 0);
}

/**
 * Return a change with its sign: +1.2, −0.4.
 * @param {number} by
 * @param {number} [digits]
 */
export const signed = (by, digits = 1) => `${by < 0 ? "−" : "+"}${Math.abs(by).toFixed(digits)}`;

/**
 * Return the parts that are not empty, with dots between them.
 * @param {(string | false | undefined)[]} parts
 */
export const dotted = (...parts) => parts.filter(Boolean).join(" · ");

/**
 * @param {number} count
 * @param {string} one
 * @param {string} [many]
 */
export const plural = (count, one, many = `${one}s`) =>
  `${count.toLocaleString("en")} ${count === 1 ? one : many}`;
