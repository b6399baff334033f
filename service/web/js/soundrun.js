// A request for sounds: its frames are samples.

import { Following } from "./following.js";
import { readWav } from "./wav.js";

const SOUNDS = { group: "audio", noun: "audio", type: () => "audio/wav" };

export class SoundRun extends Following {
  constructor(kind, body, model, source = null) {
    super(kind, body, model, source && { name: "sound.wav", ...source }, SOUNDS);
  }

  async frame(file, { known }) {
    return { file, wave: readWav(await file.arrayBuffer()), codebooks: known?.filter((row) => row.every(Boolean)).length };
  }

  /** The newest alone: samples are large, and nobody goes back to a preview. */
  keep(tile, frame) {
    tile.frames.splice(0, tile.frames.length, frame);
    tile.heard = (tile.heard ?? 0) + 1;
  }

  forget() {
    this.cancel();
    for (const tile of this.tiles) tile.frames.splice(0);
  }
}
