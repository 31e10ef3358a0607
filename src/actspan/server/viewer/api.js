// Requests to the server; no other module sends any.

export class Refused extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

// Errors of FastAPI are a text, or a list of invalid fields.
function reason(body) {
  const message = body?.detail ?? body?.error?.message ?? body?.error ?? body;
  if (Array.isArray(message)) return message.map((d) => `${d.loc?.slice(1).join(" ")}: ${d.msg}`).join("; ");
  return typeof message === "string" ? message : JSON.stringify(message);
}

async function ask(path, { query = {}, ...how } = {}) {
  const text = new URLSearchParams(query).toString();
  let answer;
  try {
    answer = await fetch(text ? `${path}?${text}` : path, how);
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Refused(0, "The server does not answer. Is it still running?");
  }
  if (answer.ok) return answer;
  const body = await answer.json().catch(() => answer.statusText);
  throw new Refused(answer.status, reason(body));
}

const json = async (path, how) => (await ask(path, how)).json();
const BROWSE = "api/browse";

export const about = () => json(BROWSE);
export const listVideos = (query, signal) => json(`${BROWSE}/videos`, { query, signal });
export const openVideo = (id, signal) => json(`${BROWSE}/video`, { query: { id }, signal });
export const proposals = (id, run, signal) =>
  json(`${BROWSE}/proposals`, { query: { id, run }, signal });
export const suppressed = (id, run, settings, signal) =>
  json(`${BROWSE}/suppressed`, { query: { id, run, ...settings }, signal });
export const mediaUrl = (id) => `${BROWSE}/media?${new URLSearchParams({ id })}`;
export const exportUrl = (query) => `${BROWSE}/corrections/export?${new URLSearchParams(query)}`;

// (2, 3, n) float32, little-endian: the lowest, then the highest of every column
export async function curveTile(id, run, level, tile) {
  const answer = await ask(`${BROWSE}/curves`, { query: { id, run, level, tile } });
  const view = new DataView(await answer.arrayBuffer());
  const values = new Float32Array(view.byteLength / 4);
  for (let i = 0; i < values.length; i += 1) values[i] = view.getFloat32(4 * i, true);
  return values;
}

const JOBS = "api/jobs";
export const service = () => json("api/service");
export const submitJob = (file, query, signal) =>
  json(JOBS, { method: "POST", query, body: file, signal, headers: { "Content-Type": "application/octet-stream" } });
export const showJob = (id, signal) => json(`${JOBS}/${id}`, { signal });
export const jobResult = (id, signal) => json(`${JOBS}/${id}/result`, { signal });
export const removeJob = (id) => ask(`${JOBS}/${id}`, { method: "DELETE" });

const body = (value) => ({
  headers: { "Content-Type": "application/json" }, body: JSON.stringify(value),
});
export const readCorrections = (id) => json(`${BROWSE}/corrections`, { query: { id } });
export const saveCorrections = (id, revision, segments) =>
  json(`${BROWSE}/corrections`, { method: "PUT", query: { id }, ...body({ revision, segments }) });
export const forgetCorrections = (id, revision) =>
  json(`${BROWSE}/corrections`, { method: "DELETE", query: { id, revision } });
