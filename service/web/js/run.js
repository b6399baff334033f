// One request from the click to its pictures: what was asked, every frame that came, how it ended.

import { ApiError, connection, events } from "./api.js";
import { bytesOf } from "./dom.js";

const ROUTES = { generation: "generations", edit: "edits", variation: "variations" };

/** Fires "change" whenever something can be shown anew. States: connecting, queued, running, done, cancelled, failed. */
export class Run extends EventTarget {
  /**
   * kind: generation | edit | variation; body: the API's fields; model: of /v1/models;
   * source: { id, file: Blob, mask: Blob, given: per token, before: ImageBitmap } of an edit or a variation.
   */
  constructor(kind, body, model, source = null) {
    super();
    Object.assign(this, { kind, body, model, source });
    this.state = "connecting";
    this.place = 0;
    this.error = null;
    this.steps = { done: 0, total: body.num_inference_steps ?? model.maskserve.defaults.num_inference_steps };
    this.abort = new AbortController();
    const first = source?.before ? [{ bitmap: source.before, step: 0 }] : [];
    this.tiles = Array.from({ length: body.n ?? 1 }, () => ({ frames: [...first], final: null, step: 0, order: null, known: null }));
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
    this.state = "done";
  }

  #request() {
    const fields = { ...this.body, stream: true, progress: true };
    if (this.kind === "generation") return fields;
    const form = new FormData();
    for (const [name, value] of Object.entries(fields)) form.append(name, value?.rawJSON ?? String(value));
    if (this.source.id) form.append("image_id", this.source.id);
    else form.append("image", this.source.file, "image.png");
    if (this.source.mask) form.append("mask", this.source.mask, "mask.png");
    return form;
  }

  async #take(event) {
    const kind = event.type.split(".")[1];
    if (kind === "queued") Object.assign(this, { state: "queued", place: event.place });
    else this.state = "running";
    const tile = this.tiles[event.image_index];
    if (kind === "step") {
      tile.step = event.step;
      this.steps = { done: Math.min(...this.tiles.map((one) => one.step)), total: event.steps_total };
    } else if (kind === "partial_image") {
      const { known, confidence, step } = event;
      if (known && !tile.order) this.#begin(tile, known, confidence);
      tile.frames.push({ bitmap: await bitmapOf(event), step, known, confidence, order: reveal(tile, known, step) });
    } else if (kind === "completed") {
      const step = event.steps.full + event.steps.reuse;
      const length = this.model.maskserve.tokens, last = tile.frames[tile.frames.length - 1];
      const known = Array(length).fill(true);
      const frame = { bitmap: await bitmapOf(event), step, known, confidence: last?.confidence, order: reveal(tile, known, step) };
      tile.frames.push(frame);
      tile.step = step;
      tile.final = { ...event, file: blobOf(event) };
      this.dispatchEvent(new CustomEvent("made", { detail: tile.final }));
    }
  }

  /** Tokens that were given are of step 0: those that the mask spares, and in variations those the model is sure of. */
  #begin(tile, known, confidence) {
    tile.order = known.map(() => 0);
    tile.known = this.source?.given ?? known.map((on, i) => on && this.kind === "variation" && confidence?.[i] === 1);
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

/** At which step each token was decided so far; 0: given, or still unknown. */
function reveal(tile, known, step) {
  if (!known || !tile.order) return null;
  const before = tile.known;
  tile.order = tile.order.map((at, i) => (known[i] && !before[i] ? step : at));
  tile.known = known;
  return tile.order;
}

const blobOf = (event) => new Blob([bytesOf(event.b64_json)], { type: `image/${event.output_format}` });
const bitmapOf = (event) => createImageBitmap(blobOf(event));
