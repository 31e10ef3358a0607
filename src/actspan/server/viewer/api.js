// The requests to the service, by subject; request.js sends them.

/**
 * @import {
 *   Columns, Compared, Corrected, Decision, Filmstrip, FrameGrid, Job, JobResult, ListQuery, ModelInfo, NewTraining,
 *   Overview, PerVideo, ReviewPage, ReviewQuery, RunFigures, Segment, Shared, ShownVideo, Suppression, VideoPage,
 *   WaveformInfo, WorkJob, WorkOverview
 * } from "./types.js"
 */
/** @import { Query } from "./request.js" */

import { ask, encode, json, send } from "./request.js";

export { messageOf, Refused, wasAborted } from "./request.js";

const BROWSE = "api/browse", JOBS = "api/jobs", WORK = "api/work";

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

/**
 * Return what an export would contain.
 * @param {boolean} everything
 * @returns {Promise<{ videos: number, segments: number, empty_videos: number }>}
 */
export const exportContents = (everything) => json(`${BROWSE}/corrections/contents`, { query: { everything } });

/** @param {Query} query */
export const exportUrl = (query) => `${BROWSE}/corrections/export?${encode(query)}`;

/**
 * Return an export and the name of its file.
 * @param {string} address of `exportUrl`
 */
export async function exportFile(address) {
  const answer = await ask(address);
  const [, name = "corrections"] = answer.headers.get("Content-Disposition")?.match(/filename="(.*)"/) ?? [];
  return { name, content: await answer.blob() };
}

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
  return send("PUT", path, { revision, segments }, { id });
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

/**
 * Make a run of the proposals of an upload.
 * @param {string} job
 * @param {string} video id of the video
 * @returns {Promise<{ video: string }>}
 */
export const keepUpload = (job, video) => send("POST", `${WORK}/runs`, { job, video });

// Review

/**
 * @param {ReviewQuery} query
 * @param {number} limit
 * @returns {Promise<ReviewPage>}
 */
export const reviewQueue = (query, limit) => json(`${BROWSE}/review`, { query: { ...query, limit } });

/**
 * Store a decision about a proposal; the corrections follow.
 * @param {Decision} decision
 * @param {number} revision of the corrections
 * @returns {Promise<{ corrections: Corrected }>}
 */
export function decide({ run, item, state, segment }, revision) {
  const { video: id, start, end } = item;
  return send("PUT", `${BROWSE}/review`, { start, end, state, segment, revision }, { id, run });
}

// The loop: propose in all videos, and train

/**
 * @param {number} heldOut share of the annotated videos
 * @param {number} top proposals per video to review
 * @returns {Promise<WorkOverview>}
 */
export const workOverview = (heldOut, top) => json(WORK, { query: { held_out: heldOut, top } });

/** @returns {Promise<WorkJob[]>} */
export const listWork = () => json(`${WORK}/jobs`);

/**
 * @param {string} model
 * @returns {Promise<WorkJob>}
 */
export const proposeInAll = (model) => send("POST", `${WORK}/propose`, { model });

/**
 * @param {NewTraining} training
 * @returns {Promise<WorkJob>}
 */
export const trainModel = (training) => send("POST", `${WORK}/train`, training);

/** @param {string} id */
export const removeWork = (id) => ask(`${WORK}/jobs/${encodeURIComponent(id)}`, { method: "DELETE" });
