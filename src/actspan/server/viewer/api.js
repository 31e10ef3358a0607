// Requests to the service; no other module but connection.js sends any.

/** @import { Compared, PerVideo, RunFigures, Shared } from "./types.js" */
/**
 * @import {
 *   Columns, Corrected, Job, JobResult, ListQuery, ModelInfo, Overview, Segment, ShownVideo, Suppression, VideoPage
 * } from "./types.js"
 */

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

  // Whether the same request may succeed later.
  get isTemporary() {
    return this.status === 0 || this.status === 429 || this.status >= 500;
  }
}

/**
 * @typedef {Record<string, string | number | boolean | string[]>} Query
 * @typedef {RequestInit & { query?: Query }} How
 */

/** @param {Query} query */
function encode(query) {
  const pairs = Object.entries(query).flatMap(([name, value]) =>
    [value].flat().map((one) => /** @type {[string, string]} */ ([name, String(one)])));
  return new URLSearchParams(pairs).toString();
}

/**
 * @param {string} path
 * @param {How} [how]
 */
async function ask(path, { query = {}, ...how } = {}) {
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
const json = async (path, how) => (await ask(path, how)).json();
const BROWSE = "api/browse", JOBS = "api/jobs";

/** @returns {Promise<Overview>} */
export const about = () => json(BROWSE);

/**
 * @param {ListQuery} query
 * @param {AbortSignal} [signal]
 * @returns {Promise<VideoPage>}
 */
export const listVideos = (query, signal) => json(`${BROWSE}/videos`, { query: { ...query }, signal });

/**
 * @param {string} id
 * @param {AbortSignal} signal
 * @returns {Promise<ShownVideo>}
 */
export const openVideo = (id, signal) => json(`${BROWSE}/video`, { query: { id }, signal });

/**
 * Return the proposals of a run, with other settings of Soft-NMS if there are any.
 * @param {string} id
 * @param {number} run
 * @param {Suppression | null} settings
 * @param {AbortSignal} signal
 * @returns {Promise<Columns>}
 */
export const proposals = (id, run, settings, signal) =>
  json(`${BROWSE}/${settings ? "suppressed" : "proposals"}`, { query: { id, run, ...settings }, signal });

// Home and comparing

/** @returns {Promise<(RunFigures | null)[]>} */
export const figures = () => json(`${BROWSE}/figures`);

/**
 * @param {number} a
 * @param {number} b
 * @returns {Promise<Compared[]>}
 */
export const compare = (a, b) => json(`${BROWSE}/comparison`, { query: { a, b } });

/** @returns {Promise<PerVideo>} */
export const perVideo = () => json(`${BROWSE}/per-video`);

/**
 * Return which of the best proposals two runs share, with their settings of Soft-NMS.
 * @param {Query} query
 * @param {AbortSignal} signal
 * @returns {Promise<Shared>}
 */
export const sharedProposals = (query, signal) => json(`${BROWSE}/shared`, { query, signal });

/** @param {string} id */
export const thumbnailUrl = (id) => `${BROWSE}/thumbnail?${encode({ id })}`;

/** @param {string} id */
export const mediaUrl = (id) => `${BROWSE}/media?${encode({ id })}`;

/** @param {Query} query */
export const exportUrl = (query) => `${BROWSE}/corrections/export?${encode(query)}`;

/**
 * Return a tile of curves, (2, 3, n): the lowest, then the highest value of every column.
 * @param {string} id
 * @param {number} run
 * @param {number} level
 * @param {number} tile
 */
export async function curveTile(id, run, level, tile) {
  const answer = await ask(`${BROWSE}/curves`, { query: { id, run, level, tile } });
  const view = new DataView(await answer.arrayBuffer());
  const values = new Float32Array(view.byteLength / 4);
  for (let i = 0; i < values.length; i += 1) values[i] = view.getFloat32(4 * i, true);
  return values;
}

/**
 * @param {string} id
 * @returns {Promise<Corrected>}
 */
export const readCorrections = (id) => json(`${BROWSE}/corrections`, { query: { id } });

/**
 * Replace the corrections of a video, or remove them (null).
 * @param {string} id
 * @param {number} revision
 * @param {Segment[] | null} segments
 * @returns {Promise<Corrected>}
 */
export function saveCorrections(id, revision, segments) {
  const path = `${BROWSE}/corrections`;
  if (segments === null) return json(path, { method: "DELETE", query: { id, revision } });
  const body = JSON.stringify({ revision, segments });
  return json(path, { method: "PUT", query: { id }, body, headers: { "Content-Type": "application/json" } });
}

/** @returns {Promise<{ model: ModelInfo | null }>} */
export const service = () => json("api/service");

/**
 * @param {File} file
 * @param {Query} query
 * @param {AbortSignal} signal
 * @returns {Promise<Job>}
 */
export const submitJob = (file, query, signal) =>
  json(JOBS, { method: "POST", query, body: file, signal, headers: { "Content-Type": "application/octet-stream" } });

/**
 * @param {string} id
 * @param {AbortSignal} [signal]
 * @returns {Promise<Job>}
 */
export const showJob = (id, signal) => json(`${JOBS}/${encodeURIComponent(id)}`, { signal });

/**
 * @param {string} id
 * @param {AbortSignal} [signal]
 * @returns {Promise<JobResult>}
 */
export const jobResult = (id, signal) => json(`${JOBS}/${encodeURIComponent(id)}/result`, { signal });

/** @returns {Promise<{ jobs: Job[] }>} */
export const listJobs = () => json(JOBS, { query: { limit: 20 } });

/** @param {string} id */
export const removeJob = (id) => ask(`${JOBS}/${encodeURIComponent(id)}`, { method: "DELETE" });
