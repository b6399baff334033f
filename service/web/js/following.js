// One request from the click to its results: what was asked, everything that came, how it ended.

import { ApiError, connection, events } from "./api.js";
import { bytesOf } from "./dom.js";

const ROUTES = { generation: "generations", edit: "edits", variation: "variations" };

/**
 * Fires "change" whenever something can be shown anew. States: connecting, queued, running, done, cancelled, failed.
 * A medium (`Run`, `SoundRun`, `VideoRun`) says how its events are called and keeps what comes in its tiles.
 */
export class Following extends EventTarget {
  /**
   * kind: generation | edit | variation; body: the API's fields; model: of /v1/models;
   * source: { id, file: Blob, mask: Blob } of an edit or a variation;
   * medium: { group, noun, type } - the part of the path, of the names of fields, and of media types.
   */
  constructor(kind, body, model, source, medium) {
    super();
    Object.assign(this, { kind, body, model, source, medium });
    this.state = "connecting";
    this.begun = false; // the server has taken it
    this.place = 0;
    this.error = null;
    this.steps = { done: 0, total: body.num_inference_steps ?? model.maskserve.defaults.num_inference_steps };
    this.abort = new AbortController();
    const { max_n } = model.maskserve.limits;
    const count = body.n >= 1 && body.n <= max_n ? Math.floor(body.n) : 1; // what is out of range is for the server to refuse
    this.tiles = Array.from({ length: count }, () => ({ frames: [], final: null, step: 0 }));
  }

  get over() {
    return ["done", "cancelled", "failed"].includes(this.state);
  }

  get path() {
    return `/v1/${this.medium.group}/${ROUTES[this.kind]}`;
  }

  cancel() {
    this.abort.abort();
  }

  /** What the server is asked for beyond what the user chose. */
  get fields() {
    return { ...this.body, stream: true, progress: true };
  }

  /** JSON or a form, for `events`. */
  request() {
    return this.kind === "generation" ? this.fields : this.form();
  }

  /** The fields and the files of the source. */
  form() {
    const { noun } = this.medium, form = new FormData();
    for (const [name, value] of Object.entries(this.fields)) form.append(name, String(value));
    if (this.source.id) form.append(`${noun}_id`, this.source.id);
    else form.append(noun, this.source.file, this.source.name ?? noun);
    if (this.source.mask) form.append("mask", this.source.mask, "mask.png");
    return form;
  }

  /** What is in the way of a new frame: Blob -> what a tile keeps of it. */
  async frame(_file, _event) {
    throw new Error("a medium says what its frames are");
  }

  /** A medium whose former frames nobody looks at again may forget them. */
  keep(tile, frame) {
    tile.frames.push(frame);
  }

  async start() {
    let release = () => {};
    try {
      release = await connection(this.abort.signal);
      await this.#follow(this.request());
    } catch (error) {
      const gone = error instanceof ApiError && error.code === `${this.medium.noun}_not_found`;
      if (gone && this.source?.file) {
        this.source.id = null; // the server has forgotten that result: send the file itself
        await this.#follow(this.request()).catch((again) => this.#failed(again));
      } else this.#failed(error);
    } finally {
      release();
      this.#changed();
    }
  }

  async #follow(body) {
    for await (const event of events(this.path, { body, signal: this.abort.signal })) {
      await this.#take(event);
      this.#changed();
    }
    if (this.tiles.some((tile) => !tile.final)) throw new ApiError(0, { message: "The connection broke off." });
    this.state = "done";
  }

  async #take(event) {
    const { noun } = this.medium;
    const kind = event.type.split(".")[1];
    this.begun = true;
    if (kind === "queued") Object.assign(this, { state: "queued", place: event.place });
    else this.state = "running";
    const tile = this.tiles[event[`${noun}_index`] ?? 0]; // a video is one
    if (kind === "step") {
      tile.step = event.step;
      this.steps = { done: Math.min(...this.tiles.map((one) => one.step)), total: event.steps_total };
    } else if (kind === `partial_${noun}`) {
      this.keep(tile, { step: event.step, ...(await this.frame(this.#blob(event), event)) });
    } else if (kind === "completed") {
      const { b64_json: _, known: __, confidence: ___, order: ____, ...facts } = event;
      const file = this.#blob(event);
      tile.step = event.steps.full + event.steps.reuse;
      this.keep(tile, { step: tile.step, ...(await this.frame(file, event)) });
      tile.final = { ...facts, file };
      this.dispatchEvent(new CustomEvent("made", { detail: tile.final }));
    }
  }

  #blob(event) {
    return new Blob([bytesOf(event.b64_json)], { type: this.medium.type(event.output_format) });
  }

  #failed(error) {
    if (this.abort.signal.aborted) this.state = "cancelled";
    else Object.assign(this, { state: "failed", error });
    if (!(error instanceof ApiError) && this.state === "failed") console.error(error);
  }

  #changed() {
    this.dispatchEvent(new Event("change"));
  }
}

/** How far a run is, in words. */
export function stateOf(run) {
  switch (run.state) {
    case "connecting":
      return "waiting for a connection";
    case "queued":
      return `in the queue, place ${run.place}`;
    case "running":
      return run.steps.done ? `step ${run.steps.done} of ${run.steps.total}` : "started";
    default:
      return run.state;
  }
}
