// One request to the service, and why it failed.

import { connection } from "./connection.js";

/** Answer that is an error; status 0 if there was no answer. */
export class Refused extends Error {
  /**
   * @param {number} status
   * @param {string} message
   */
  constructor(status, message) {
    super(message);
    this.status = status;
  }

  // Return whether the same request may succeed later.
  get isTemporary() {
    return this.status === 0 || this.status === 429 || this.status >= 500;
  }
}

/**
 * @typedef {Record<string, string | number | boolean | string[]>} Query
 * @typedef {RequestInit & { query?: Query }} How
 */

/** @param {Query} query */
export function encode(query) {
  const pairs = Object.entries(query).flatMap(([name, value]) =>
    [value].flat().map((one) => /** @type {[string, string]} */ ([name, String(one)])));
  return new URLSearchParams(pairs).toString();
}

/**
 * @param {string} path
 * @param {How} [how]
 */
export async function ask(path, { query = {}, ...how } = {}) {
  const text = encode(query);
  let answer;
  try {
    answer = await fetch(text ? `${path}?${text}` : path, how);
  } catch (error) {
    if (wasAborted(error)) throw error;
    connection.lose();
    throw new Refused(0, "The service does not answer.");
  }
  if (answer.ok) return answer;
  const problem = await answer.json().catch(() => ({}));
  throw new Refused(answer.status, problem.detail ?? answer.statusText);
}

/** @param {unknown} error */
export const wasAborted = (error) => error instanceof DOMException && error.name === "AbortError";

/** @param {unknown} error */
export const messageOf = (error) => (error instanceof Error ? error.message : String(error));

/**
 * @param {string} path
 * @param {How} [how]
 */
export const json = async (path, how) => (await ask(path, how)).json();

/**
 * Send a body as JSON.
 * @param {"POST" | "PUT"} method
 * @param {string} path
 * @param {object} body
 * @param {Query} [query]
 */
export const send = (method, path, body, query) =>
  json(path, { method, query, body: JSON.stringify(body), headers: { "Content-Type": "application/json" } });
