// A request for pictures: its frames are bitmaps with token grids.

import { Following } from "./following.js";

const PICTURES = { group: "images", noun: "image", type: (format) => `image/${format}` };

export class Run extends Following {
  /** source: also `before`, an ImageBitmap of what is edited, which becomes the run's own. */
  constructor(kind, body, model, source = null) {
    super(kind, body, model, source && { name: "image.png", ...source }, PICTURES);
    if (source?.before) for (const tile of this.tiles) tile.frames.push({ bitmap: source.before, step: 0 });
  }

  async frame(file, { known, confidence, order }) {
    return { bitmap: await createImageBitmap(file), known, confidence, order };
  }

  /** Give the pictures' memory back; the run cannot be shown afterwards. */
  forget() {
    this.cancel();
    for (const tile of this.tiles) for (const frame of tile.frames.splice(0)) frame.bitmap.close();
  }
}
