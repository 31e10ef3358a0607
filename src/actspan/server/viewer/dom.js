// Elements of the page and of its small drawings: found by id, or made.

/**
 * Return the element with an id; throw if there is none of this class.
 * @template {HTMLElement} T
 * @param {string} id
 * @param {new () => T} kind
 * @returns {T}
 */
export function element(id, kind) {
  const found = document.getElementById(id);
  if (!(found instanceof kind)) throw new Error(`the page has no ${kind.name} with the id ${id}`);
  return found;
}

/** @param {string} id */
export const byId = (id) => element(id, HTMLElement);
/** @param {string} id */
export const field = (id) => element(id, HTMLInputElement);
/** @param {string} id */
export const choice = (id) => element(id, HTMLSelectElement);
/** @param {string} id */
export const button = (id) => element(id, HTMLButtonElement);
/** @param {string} id */
export const dialog = (id) => element(id, HTMLDialogElement);

/**
 * Return a new element, the last child of `parent`.
 * @template {keyof HTMLElementTagNameMap} K
 * @param {Element | null} parent
 * @param {K} tag
 * @param {Partial<HTMLElementTagNameMap[K]>} [properties]
 * @param {string} [text]
 * @returns {HTMLElementTagNameMap[K]}
 */
export function make(parent, tag, properties = {}, text = "") {
  const made = Object.assign(document.createElement(tag), properties);
  if (text) made.textContent = text;
  parent?.append(made);
  return made;
}

/**
 * Replace the options of a list; what is chosen stays chosen.
 * @param {string} id
 * @param {string[][]} options values and words
 */
export function fill(id, options) {
  const list = choice(id), before = list.value;
  list.replaceChildren();
  for (const [value, words] of options) make(list, "option", { value }, words);
  if (options.some(([value]) => value === before)) list.value = before;
}

/**
 * Return a new element of a drawing in SVG, which follows the colours of the page; the last child of `parent`.
 * @template {keyof SVGElementTagNameMap} K
 * @param {Element | null} parent
 * @param {K} tag
 * @param {Record<string, string | number>} [attributes]
 * @returns {SVGElementTagNameMap[K]}
 */
export function drawn(parent, tag, attributes = {}) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", tag);
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

/**
 * Scroll a panel, and nothing else, so that a row in it is visible.
 * @param {HTMLElement} panel
 * @param {HTMLElement} row
 */
export function reveal(panel, row) {
  const outer = panel.getBoundingClientRect(), inner = row.getBoundingClientRect();
  const above = outer.top + 2 * inner.height - inner.top, below = inner.bottom - outer.bottom;
  if (above > 0) panel.scrollTop -= above; // what is sticky at the top hides as much as two rows
  else if (below > 0) panel.scrollTop += below;
}

/**
 * Call a function when a button is pressed.
 * @param {string} id
 * @param {() => unknown} action
 */
export function press(id, action) {
  byId(id).addEventListener("click", () => action());
}
