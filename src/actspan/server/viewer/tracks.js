// The tracks of the timeline, from top to bottom. A new kind of track is added here.

/** @import { Track } from "./types.js" */
/** @import { Scrubber } from "./scrubber.js" */
/** @import { Store } from "./store.js" */

import { CorrectionsTrack } from "./tracks/corrections.js";
import { CurvesTrack } from "./tracks/curves.js";
import { FilmstripTrack } from "./tracks/filmstrip.js";
import { HitsTrack } from "./tracks/hits.js";
import { Overview } from "./tracks/overview.js";
import { makePairTracks } from "./tracks/pair.js";
import { ProposalsTrack } from "./tracks/proposals.js";
import { ReviewTrack } from "./tracks/review.js";
import { Ruler } from "./tracks/ruler.js";
import { TruthTrack } from "./tracks/truth.js";
import { WaveformTrack } from "./tracks/waveform.js";

/**
 * Return the tracks for the current state; `isNarrow` leaves out their names.
 * @param {Store} store
 * @param {Scrubber} scrubber
 * @param {boolean} isNarrow
 * @returns {Track[]}
 */
export function makeTracks(store, scrubber, isNarrow) {
  const isTouch = matchMedia("(pointer: coarse)").matches;
  /** @param {string} name */
  const named = (name) => (isNarrow ? "" : name);
  /** @type {Track[]} */
  const tracks = [new Ruler()], { film, sound } = store.media;
  if (film) tracks.push(new FilmstripTrack(named("pictures"), film));
  if (sound) tracks.push(new WaveformTrack(named("sound"), sound));
  if (store.truth.length) tracks.push(new TruthTrack(named("ground truth"), store.truth, scrubber));
  if (store.editor) tracks.push(new CorrectionsTrack(named("corrections"), store, scrubber, isTouch));
  if (store.review?.shown) tracks.push(new ReviewTrack(named("review"), store.review, store, scrubber));
  const { pair } = store.comparison;
  if (pair) tracks.push(...makePairTracks(named, pair, store, scrubber));
  for (const run of store.shownRuns.filter((one) => one !== pair?.a && one !== pair?.b)) {
    if (run.curves) tracks.push(new CurvesTrack(run, store));
    if (store.hits.instances.length) tracks.push(new HitsTrack(named("found"), run, store, scrubber));
    tracks.push(new ProposalsTrack(named("proposals"), run, store, scrubber));
  }
  tracks.push(new Overview(named("whole video"), store, scrubber, isTouch));
  return tracks;
}
