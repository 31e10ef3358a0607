// The address of what is shown, after "#": id=VIDEO or job=JOB; nothing is the first video.

/** @typedef {{ id: string } | { job: string } | null} Address */

/** @returns {Address} */
export function readAddress() {
  const named = new URLSearchParams(location.hash.slice(1));
  const id = named.get("id"), job = named.get("job");
  if (id !== null) return { id };
  return job === null ? null : { job };
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
