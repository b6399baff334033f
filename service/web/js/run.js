// One request from the click to its pictures: what was asked, every frame that came, how it ended.

import { ApiError, connection, events } from "./api.js";
import { bytesOf } from "./dom.js";

const ROUTES = { generation: "generations", edit: "edits", variation: "variations" };

/** Fires "change" whenever something can be shown anew. States: connecting, queued, running, done, cancelled, failed. */
export class Run extends EventTarget {
  /**
   * kind: generation | edit | variation; body: the API's fields; model: of /v1/models;
   * source: { id, file: Blob, mask: Blob, before: ImageBitmap } of an edit or a variation; `before` becomes the run's own.
   */
  constructor(kind, body, model, source = null) {
    super();
    Object.assign(this, { kind, body, model, source });
    this.state = "connecting";
    this.begun = false; // the server has taken it
    this.place = 0;
    this.error = null;
    this.steps = { done: 0, total: body.num_inference_steps ?? model.maskserve.defaults.num_inference_steps };
    this.abort = new AbortController();
    const first = source?.before ? [{ bitmap: source.before, step: 0 }] : [];
    const { max_n } = model.maskserve.limits;
    const count = body.n >= 1 && body.n <= max_n ? Math.floor(body.n) : 1; // what is out of range is for the server to refuse
    this.tiles = Array.from({ length: count }, () => ({ frames: [...first], final: null, step: 0 }));
  }

  get over() {
    return ["done", "cancelled", "failed"].includes(this.state);
  }

  get path() {
    return `/v1/images/${ROUTES[this.kind]}`;
  }

  cancel() {
    this.abort.abort();
  }

  /** Give the pictures' memory back; the run cannot be shown afterwards. */
  forget() {
    this.cancel();
    for (const tile of this.tiles) for (const frame of tile.frames.splice(0)) frame.bitmap.close();
  }

  async start() {
    let release = () => {};
    try {
      release = await connection(this.abort.signal);
      await this.#follow(this.#request());
    } catch (error) {
      const gone = error instanceof ApiError && error.code === "image_not_found";
      if (gone && this.source?.file) {
        this.source.id = null; // the server has forgotten that result: send the picture itself
        await this.#follow(this.#request()).catch((again) => this.#failed(again));
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

  #request() {
    const fields = { ...this.body, stream: true, progress: true };
    if (this.kind === "generation") return fields;
    const form = new FormData();
    for (const [name, value] of Object.entries(fields)) form.append(name, String(value));
    if (this.source.id) form.append("image_id", this.source.id);
    else form.append("image", this.source.file, "image.png");
    if (this.source.mask) form.append("mask", this.source.mask, "mask.png");
    return form;
  }

  async #take(event) {
    const kind = event.type.split(".")[1];
    this.begun = true;
    if (kind === "queued") Object.assign(this, { state: "queued", place: event.place });
    else this.state = "running";
    const tile = this.tiles[event.image_index];
    if (kind === "step") {
      tile.step = event.step;
      this.steps = { done: Math.min(...this.tiles.map((one) => one.step)), total: event.steps_total };
    } else if (kind === "partial_image") {
      await this.#show(tile, event, event.step, blobOf(event));
    } else if (kind === "completed") {
      const { b64_json: _, known, confidence, order, ...facts } = event;
      const file = blobOf(event);
      tile.step = event.steps.full + event.steps.reuse;
      await this.#show(tile, { known, confidence, order }, tile.step, file);
      tile.final = { ...facts, file };
      this.dispatchEvent(new CustomEvent("made", { detail: tile.final }));
    }
  }

  async #show(tile, { known, confidence, order }, step, file) {
    const bitmap = await createImageBitmap(file);
    tile.frames.push({ bitmap, step, known, confidence, order });
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

const blobOf = (event) => new Blob([bytesOf(event.b64_json)], { type: `image/${event.output_format}` });
