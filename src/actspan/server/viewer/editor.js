// Corrections of one video: every change can be undone, and is saved immediately.

import * as api from "./api.js";

const copy = (segments) => segments && segments.map((s) => ({ ...s }));
const sorted = (segments) => segments.sort((a, b) => a.start - b.start || a.end - b.end);

export class Editor extends EventTarget {
  segments = null; // null: this video has no corrections
  selected = -1;
  state = ""; // "", "saving", "saved", or what went wrong
  #revision = 0;
  #past = [];
  #future = [];
  #saving = false;
  #dirty = false;

  constructor(id, kept) {
    super();
    this.id = id;
    this.#take(kept);
  }

  #take({ revision, segments }) {
    Object.assign(this, { segments: copy(segments), selected: -1, state: "" });
    this.#revision = revision;
    this.#past = [];
    this.#future = [];
    this.#dirty = false;
  }

  // Load the server's state; undo stays possible if nothing changed there.
  refresh(kept) {
    if (!this.unsaved && kept.revision !== this.#revision) this.#take(kept);
  }

  get unsaved() {
    return this.#dirty || this.#saving;
  }

  get canUndo() {
    return this.#past.length > 0;
  }

  get canRedo() {
    return this.#future.length > 0;
  }

  select(index) {
    this.selected = index;
    this.#tell();
  }

  // Return the index of the new segment.
  add(start, end, label = "") {
    const made = { start, end, label };
    return this.#change([...(copy(this.segments) ?? []), made], made);
  }

  replaceAll(segments) {
    this.#change(segments.map(({ start, end, label }) => ({ start, end, label: label ?? "" })), null);
  }

  edit(index, changes) {
    const next = copy(this.segments);
    if (Object.entries(changes).every(([key, value]) => next[index][key] === value)) return index;
    Object.assign(next[index], changes);
    return next[index].end > next[index].start ? this.#change(next, next[index]) : index;
  }

  remove(index) {
    if (!this.segments?.[index]) return;
    const next = copy(this.segments);
    next.splice(index, 1);
    this.#change(next, null);
  }

  // Remove the corrections of this video.
  forget() {
    if (this.segments !== null) this.#change(null, null);
  }

  undo() {
    this.#travel(this.#past, this.#future);
  }

  redo() {
    this.#travel(this.#future, this.#past);
  }

  #travel(from, to) {
    if (!from.length) return;
    to.push(this.segments);
    this.segments = from.pop();
    this.selected = -1;
    this.#changed();
  }

  #change(segments, chosen) {
    this.#past.push(this.segments);
    this.#future = [];
    this.segments = segments && sorted(segments);
    this.selected = chosen ? this.segments.indexOf(chosen) : -1;
    this.#changed();
    return this.selected;
  }

  #changed() {
    this.#dirty = true;
    this.#tell();
    this.save();
  }

  // Save the newest state, with one request at a time.
  async save() {
    if (this.#saving) return;
    this.#saving = true;
    this.#say("saving");
    try {
      while (this.#dirty) {
        this.#dirty = false;
        const kept = this.segments
          ? await api.saveCorrections(this.id, this.#revision, this.segments)
          : await api.forgetCorrections(this.id, this.#revision);
        this.#revision = kept.revision;
      }
      this.#saving = false;
      this.#say("saved");
    } catch (error) {
      this.#saving = false;
      this.#dirty = true;
      await this.#failed(error);
    }
  }

  async #failed(error) {
    let message = error.message;
    if (error.status === 409) {
      try {
        this.#take(await api.readCorrections(this.id));
        message = "Someone else changed these corrections; the latest version is shown.";
      } catch {
        // The first reason is shown; the next change saves again.
      }
    }
    this.#say(message);
  }

  #say(state) {
    this.state = state;
    this.#tell();
  }

  #tell() {
    this.dispatchEvent(new Event("change"));
  }
}
