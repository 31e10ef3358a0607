// Requests of the loop: propose in all videos, train, and keep uploads.

/** @import { NewTraining, WorkJob, WorkOverview } from "../types.js" */

import { ask, json } from "../api.js";

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
