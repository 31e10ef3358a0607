// Small drawings in SVG, which follow the colours of the page without being drawn again.

const SPACE = "http://www.w3.org/2000/svg";

/**
 * Return a new element of a drawing, the last child of `parent`.
 * @template {keyof SVGElementTagNameMap} K
 * @param {Element | null} parent
 * @param {K} tag
 * @param {Record<string, string | number>} [attributes]
 * @returns {SVGElementTagNameMap[K]}
 */
export function drawn(parent, tag, attributes = {}) {
  const made = document.createElementNS(SPACE, tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, String(value));
  parent?.append(made);
  return made;
}

/**
 * Return a drawing of a size in its own units.
 * @param {Element} parent
 * @param {number} width
 * @param {number} height
 * @param {Record<string, string | number>} [attributes]
 */
export const drawing = (parent, width, height, attributes = {}) =>
  drawn(parent, "svg", { viewBox: `0 0 ${width} ${height}`, ...attributes });
