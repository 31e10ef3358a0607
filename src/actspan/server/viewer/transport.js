// Playback: buttons, the position, and the segment that is played alone.

/** @import { Actions } from "./actions.js" */
/** @import { Player } from "./player.js" */
/** @import { Store } from "./store.js" */
/** @import { Timeline } from "./timeline.js" */

import { button, byId, choice, field, press } from "./dom.js";
import { say } from "./messages.js";
import { clock, clocks } from "./text.js";

export class Transport {
  /**
   * @param {Store} store
   * @param {Player} player
   * @param {Actions} actions
   * @param {Timeline} timeline
   */
  constructor(store, player, actions, timeline) {
    this.store = store;
    this.player = player;
    this.timeline = timeline;
    press("play", () => player.toggle());
    press("previous", () => actions.neighbour(-1, "rank"));
    press("next", () => actions.neighbour(1, "rank"));
    press("zoom-in", () => actions.zoom(0.5));
    press("zoom-out", () => actions.zoom(2));
    press("zoom-all", () => actions.zoomAll());
    press("leave-range", () => player.leaveRange());
    byId("player").addEventListener("click", () => player.toggle());
    field("loop").addEventListener("change", () => { player.loop = field("loop").checked; });
    choice("rate").addEventListener("change", () => player.setRate(Number(choice("rate").value)));
    player.addEventListener("move", () => this.#moved());
    player.addEventListener("state", () => this.#state());
    player.addEventListener("range", () => this.#range());
    player.addEventListener("length", () => store.widen(player.fileSeconds));
    player.addEventListener("unplayable", () => this.#unplayable());
    store.on(["video", "length"], () => {
      player.seconds = store.seconds;
      this.#moved();
    });
  }

  #moved() {
    const { time, isPaused } = this.player, { view } = this.store, { seconds } = this.store;
    const isOutside = time > view.to || time < view.from;
    if (!isPaused && !view.isWhole && isOutside) view.show(time, time + view.length);
    byId("time").textContent = clock(time);
    byId("length").textContent = clock(this.store.duration);
    const slider = this.timeline.overlay.canvas;
    slider.setAttribute("aria-valuemax", seconds.toFixed(1));
    slider.setAttribute("aria-valuenow", time.toFixed(1));
    slider.setAttribute("aria-valuetext", `${clock(time)} of ${clock(seconds)}`);
  }

  #state() {
    const { isPaused } = this.player;
    byId("play").classList.toggle("playing", !isPaused);
    byId("play").setAttribute("aria-label", isPaused ? "Play" : "Pause");
  }

  #range() {
    const { range } = this.player;
    button("leave-range").hidden = range === null;
    if (range) byId("range").textContent = `Only ${clocks(range)}`;
  }

  #unplayable() {
    document.body.classList.add("no-picture");
    say("picture", "This browser cannot play the video file; the timeline works without it.");
  }
}
