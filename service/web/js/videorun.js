// A request for a video: what comes are all of its frames, as pictures.

import { Following } from "./following.js";
import { readZip } from "./zip.js";

const VIDEOS = { group: "videos", noun: "video", type: () => "application/zip" };
const PREVIEWS = 6; // of each block
const MOST_PREVIEWS = 120;

export class VideoRun extends Following {
  /** source: { before: [File], behind: [File] } of a new video, or { id, file } of one that goes on or is edited. */
  constructor(kind, body, model, source = null) {
    super(kind, body, model, source && { name: "video.zip", ...source }, VIDEOS);
    this.made = body.frames ?? model.maskserve.footage.block;
  }

  get path() {
    return this.kind === "edit" ? "/v1/videos/edits" : "/v1/videos";
  }

  get fields() {
    const blocks = Math.ceil(this.made / this.model.maskserve.footage.block);
    return { ...super.fields, output_format: "zip", partial_video: Math.max(0, Math.min(Math.max(blocks, Math.min(MOST_PREVIEWS, PREVIEWS * blocks)), 1000) - 1) };
  }

  request() {
    const { source } = this;
    if (!source) return this.fields;
    if (this.kind === "edit") return this.form();
    const form = new FormData();
    for (const [name, value] of Object.entries(this.fields)) form.append(name, String(value));
    if (source.id) form.append("video_id", source.id);
    for (const [part, files] of Object.entries(this.references)) if (!source.id) for (const file of files) form.append(part, file, file.name ?? source.name);
    return form;
  }

  /** Files by the field that takes them. */
  get references() {
    const { source, body } = this;
    if (!source) return {};
    if (this.kind === "edit") return { video: [source.file] };
    if (source.file) return { input_reference: [source.file] };
    return body.task === "past" ? { input_reference: source.behind } : { input_reference: source.before, end_reference: source.behind };
  }

  async frame(file, { done, frames, before, behind, task }) {
    const parts = readZip(await file.arrayBuffer()) ?? [];
    const pictures = parts.filter(([name]) => name.endsWith(".png")).map(([, bytes]) => createImageBitmap(new Blob([bytes], { type: "image/png" })));
    return { bitmaps: await Promise.all(pictures), done: done ?? frames - before - behind, total: frames, before, behind, backwards: task === "past" };
  }

  /** The newest alone: it has all the others had. */
  keep(tile, frame) {
    if (this.abort.signal.aborted) {
      for (const bitmap of frame.bitmaps) bitmap.close();
      return;
    }
    for (const old of tile.frames.splice(0, tile.frames.length, frame)) for (const bitmap of old.bitmaps) bitmap.close();
    tile.seen = (tile.seen ?? 0) + 1;
  }

  forget() {
    this.cancel();
    for (const tile of this.tiles) for (const frame of tile.frames.splice(0)) for (const bitmap of frame.bitmaps) bitmap.close();
  }
}
