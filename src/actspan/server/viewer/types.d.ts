// Types of the service's answers and of what the modules of the page exchange. Times are seconds.

export interface Span {
  start: number;
  end: number;
}

export interface Segment extends Span {
  label: string;
}

export interface Proposal extends Segment {
  score: number;
  rank: number;
}

export interface Placed extends Proposal {
  lane: number;
}

// Answers of /api/browse

export interface Suppression {
  threshold_short: number;
  threshold_long: number;
  decay: number;
  keep: number;
}

export interface RunInfo {
  name: string;
  created: string | null;
  mode: string;
  is_label_free: boolean;
  has_curves: boolean;
  can_suppress: boolean;
  suppression: Suppression;
}

export interface Overview {
  runs: RunInfo[];
  ground_truth: string;
  has_media: boolean;
  labels: string[];
  subsets: string[];
  forms: { name: string; what: string }[];
}

export interface CurvesInfo {
  cells: number;
  levels: number;
  tile: number;
  span: number;
}

export interface Corrected {
  revision: number;
  segments: Segment[] | null;
}

export interface ShownVideo {
  id: string;
  seconds: number | null;
  subset: string;
  ground_truth: Segment[];
  has_media: boolean;
  curves: (CurvesInfo | null)[];
  corrections: Corrected | null;
}

// Content of the video's file

export interface Filmstrip {
  width: number; // pixels of a picture
  height: number;
  columns: number;
  times: (number | null)[];
  image: string; // address
}

export interface FrameGrid {
  frames: number;
  rate: number;
  is_variable: boolean;
  first: number;
  last: number;
  version: string;
}

export interface WaveformInfo {
  has_sound: boolean;
  intervals: number;
  rate: number;
  levels: number;
  tile: number;
  version: string;
}

export interface Columns {
  start: number[];
  end: number[];
  score: number[];
  labels: string[] | null;
}

export interface ListedVideo {
  id: string;
  seconds: number | null;
  instances: number;
  labels: string[];
  segments: [number, number][];
  has_media: boolean;
  fault: string; // why the file cannot be read
  corrected: boolean;
  runs: ListedRun[];
}

export interface ListedRun {
  proposals: number | null; // null: the run does not have the video
  score: number | null;
  metrics: { auc: number; missed: number; own: number } | null;
  best: [number, number][];
}

export interface VideoPage {
  total: number;
  evaluating: boolean;
  videos: ListedVideo[];
}

export interface ListQuery {
  find: string;
  missed: boolean;
  corrected: boolean;
  order: string;
  descending: boolean;
  offset: number;
  limit: number;
  suppression: string[];
  missed_by?: number;
  subset?: string;
  label?: string;
  auc?: string[];
  segments?: number;
  a?: number;
  b?: number;
}

// Figures of runs: the home page, and comparing

export interface RunFigures {
  videos: number;
  instances: number;
  missed: number;
  own: number; // corrected instances that are proposals of this very run
  figures: Record<string, number>; // percent
}

export interface Compared {
  name: string;
  a: RunFigures;
  b: RunFigures;
  difference: { auc: number; low: number | null; high: number | null };
}

export interface PerVideo {
  ids: string[];
  auc: (number | null)[][]; // by run and video, percent
}

export interface Shared {
  a: (number | null)[];
  b: (number | null)[];
}

// Answers of /api/service and /api/jobs

export interface ModelInfo {
  name: string;
  stride: number | null;
  takes_videos: boolean;
  labels: string[];
}

export interface Job {
  id: string;
  name: string;
  state: "queued" | "running" | "done" | "failed";
  kind: string;
  progress: number;
  error: string | null;
  created: string;
}

export interface JobResult {
  seconds: number;
  proposals: { segment: [number, number]; score: number }[];
  detections?: { segment: [number, number]; label: string }[];
}

// The loop: answers of /api/work

export interface WorkOverview {
  videos: number;
  unproposed: number; // listed, readable, and of no run
  annotated: number;
  held_out: number; // of the annotated ones
  partly_reviewed: number; // likewise
  models: Record<string, string>;
  presets: string[];
}

export interface EpochLosses {
  epoch: number;
  training: number;
  validation: number | null;
}

export interface WorkJob extends Omit<Job, "kind"> {
  kind: "propose" | "train";
  status: { step: string; done: number; total: number; note: string; losses: Record<string, EpochLosses[]>;
    warnings: string[] };
  result: { run: string; model?: string; skipped: Record<string, string> } | null;
}

export interface NewTraining {
  name: string;
  preset: string;
  epochs: number | null;
  held_out: number;
}

// The timeline

export interface Box {
  y: number;
  height: number;
}

// Where the pointer is: seconds, pixels below the top of a track, and the reach of the pointer.
export interface Place {
  seconds: number;
  y: number;
  reach: number; // seconds
}

// Content of a track at a place.
export interface Hit {
  segment?: Segment;
  index?: number;
  edge?: "" | "start" | "end";
  box?: Box; // of the segment, relative to the track
  cursor?: string;
  describe?: () => string; // the text of the tip
}

export interface TrackHit extends Hit {
  track: Track;
}

export interface Press {
  x: number;
  touch: boolean;
  shift: boolean;
}

// Effect of a press that lasts. Without a drag, `end` is called with moved = false.
export interface Gesture {
  move(x: number, isFree: boolean): void; // isFree: with Alt, nothing snaps
  end(moved: boolean, x: number, isFree: boolean): void;
  cancel?(): void;
}

// One track of the timeline. A new kind of track is a module in tracks/ and a line in tracks.js.
export interface Track {
  readonly kind: string;
  readonly name: string; // shown beside the track
  readonly letter?: { text: string; colour: string }; // of its run
  readonly pin?: "top" | "bottom"; // stays visible while the other tracks scroll
  readonly height: number; // pixels that it needs
  readonly most: number; // pixels that it can use
  readonly run?: import("./run.js").Run; // whose results it shows
  paint(painter: import("./painter.js").Painter, box: Box): void;
  paintName?(painter: import("./painter.js").Painter, box: Box): void; // beside the track
  paintOver?(painter: import("./painter.js").Painter, box: Box): void; // with the playhead, often
  hit?(place: Place, box: Box): Hit | null;
  press?(hit: Hit, press: Press): Gesture | null; // null: it moves the position, as without this method
}

// Hits and misses

export interface Matched extends Segment {
  index: number;
  tiou: number; // the largest of any proposal
  isFound: boolean;
  best: Proposal | null; // of the largest tIoU
}

// Review

export type ReviewState = "open" | "accepted" | "rejected" | "edited";

export interface ReviewItem extends Segment {
  video: string;
  rank: number; // from 0
  score: number;
  state: ReviewState;
  segment: Segment | null; // what is in the corrections because of it
}

export interface ReviewPage {
  total: number;
  counts: Record<ReviewState, number>;
  items: ReviewItem[];
}

export interface ReviewQuery {
  run: number;
  order: string; // rank or doubt
  top: number; // the best proposals of each video
  id?: string; // only this video
}

export interface Decision {
  run: number;
  runName: string;
  item: ReviewItem; // as it was before
  state: ReviewState;
  segment: Segment | null;
}
