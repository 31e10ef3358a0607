// The address of what is shown, after "#": id=VIDEO or job=JOB; nothing is the home page.
//
// t, from and to (seconds), runs (letters of those that are switched on), axis=one (two runs are
// compared on one axis) and the filters of the list are written if they differ from the usual.

const FILTERS = new Set(["order", "find", "missed", "corrected", "subset", "label", "auc"]);

/**
 * @typedef {object} Address
 * @property {string} [id]
 * @property {string} [job]
 * @property {number} [t] position, seconds
 * @property {number} [from] visible range, seconds
 * @property {number} [to]
 * @property {string} [runs]
 * @property {string} [axis]
 * @property {Record<string, string>} filters of the list, and its order
 * @property {boolean} isNew whether it was not shown before in this place of the history
 */

/** @returns {Address} */
export function readAddress() {
  const named = new URLSearchParams(location.hash.slice(1));
  const text = (/** @type {string} */ name) => named.get(name) ?? undefined;
  const seconds = (/** @type {string} */ name) => {
    const number = Number(named.get(name) ?? NaN);
    return Number.isFinite(number) ? number : undefined;
  };
  const filters = Object.fromEntries([...named].filter(([name]) => FILTERS.has(name)));
  return {
    id: text("id"), job: text("job"), t: seconds("t"), from: seconds("from"), to: seconds("to"),
    runs: text("runs"), axis: text("axis"), filters, isNew: history.state === null,
  };
}

/** @param {Record<string, string>} address */
const hashOf = (address) => `#${new URLSearchParams(address)}`;

/**
 * Return the whole address: a link to "#..." would be taken for one inside the page.
 * @param {Record<string, string>} address
 */
export const addressOf = (address) => location.href.split("#")[0] + hashOf(address);

/** @param {Record<string, string>} address */
export function goTo(address) {
  location.hash = hashOf(address);
}

/**
 * Replace the address, without a new entry in the history.
 * @param {Record<string, string>} address
 */
export function writeAddress(address) {
  history.replaceState({ shown: true }, "", addressOf(address));
}
