// Requests to the service; no other module but connection.js sends any.

/**
 * @import {
 *   Columns, ComparedGroup, Corrected, Filmstrip, FrameGrid, Job, JobResult, ListQuery, ModelInfo, NewTraining,
 *   Overview, Segment, ShownVideo, Suppression, VideoPage, WaveformInfo, WorkJob, WorkOverview
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
  return floats(await ask(`${BROWSE}/curves`, { query: { id, run, level, tile } }));
}

/** @param {Response} answer little-endian float32 */
async function floats(answer) {
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

// Content of the video's file

/**
 * @param {{ id: string, start: number, end: number, count: number, height: number }} query
 * @param {AbortSignal} signal
 * @returns {Promise<Filmstrip>}
 */
export const filmstrip = (query, signal) => json(`${BROWSE}/filmstrip`, { query, signal });

/**
 * Return a picture whose address the service gave.
 * @param {string} address
 * @param {AbortSignal} signal
 */
export async function picture(address, signal) {
  return createImageBitmap(await (await ask(address.replace(/^\//, ""), { signal })).blob());
}

/**
 * Return the frame that is shown at a time.
 * @param {{ id: string, time: number, height: number, version: string }} query
 * @param {AbortSignal} signal
 */
export async function frame(query, signal) {
  return createImageBitmap(await (await ask(`${BROWSE}/frame`, { query, signal })).blob());
}

/**
 * @param {string} id
 * @param {AbortSignal} signal
 * @returns {Promise<FrameGrid>}
 */
export const frames = (id, signal) => json(`${BROWSE}/frames`, { query: { id }, signal });

/**
 * Return the seconds at which frames appear, as many as one answer has.
 * @param {string} id
 * @param {number} first number of the first frame
 * @param {AbortSignal} signal
 */
export async function frameTimes(id, first, signal) {
  const answer = await ask(`${BROWSE}/frame-times`, { query: { id, first }, signal });
  const view = new DataView(await answer.arrayBuffer());
  return Float64Array.from({ length: view.byteLength / 8 }, (_, i) => view.getFloat64(8 * i, true));
}

/**
 * @param {string} id
 * @param {AbortSignal} signal
 * @returns {Promise<WaveformInfo>}
 */
export const waveform = (id, signal) => json(`${BROWSE}/waveform`, { query: { id }, signal });

/**
 * Return a tile of a waveform, (2, 1, n): the lowest, then the highest sample of every column.
 * @param {{ id: string, level: number, tile: number, version: string }} query
 */
export const waveformTile = async (query) => floats(await ask(`${BROWSE}/waveform/tile`, { query }));

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

// The loop

const WORK = "api/work";

/**
 * @param {string} path
 * @param {object} body
 */
const post = (path, body) =>
  json(path, { method: "POST", body: JSON.stringify(body), headers: { "Content-Type": "application/json" } });

/** @returns {Promise<WorkOverview>} */
export const workOverview = () => json(WORK);

/** @returns {Promise<WorkJob[]>} */
export const listWork = () => json(`${WORK}/jobs`);

/**
 * @param {string} model
 * @returns {Promise<WorkJob>}
 */
export const proposeInAll = (model) => post(`${WORK}/propose`, { model });

/**
 * @param {NewTraining} training
 * @returns {Promise<WorkJob>}
 */
export const trainModel = (training) => post(`${WORK}/train`, training);

/** @param {string} id */
export const removeWork = (id) => ask(`${WORK}/jobs/${encodeURIComponent(id)}`, { method: "DELETE" });

/**
 * Make a run of the proposals of an upload.
 * @param {string} job
 * @param {string} video id of the video
 * @returns {Promise<{ video: string }>}
 */
export const keepUpload = (job, video) => post(`${WORK}/runs`, { job, video });

/**
 * @param {number} a
 * @param {number} b
 * @returns {Promise<ComparedGroup[]>}
 */
export const compareRuns = (a, b) => json(`${BROWSE}/comparison`, { query: { a, b } });
