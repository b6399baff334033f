// Frames side by side: which were given, which are made, which are still open, what is chosen.

import { colour, sharp } from "./dom.js";

const BAR = 6; // pixels, below the frames
const LEAST = 28; // of a frame's width

/**
 * shown: { bitmaps, done, total, before, behind, backwards } (a result's frames, of which some may be missing yet;
 * backwards: they come from the last on); range: [from, to] of frames, or null.
 */
export function drawTimeline(canvas, shown, range) {
  const [context, width, height] = sharp(canvas);
  const tall = height - BAR - 2;
  const cells = Math.max(1, Math.min(shown.total, Math.floor(width / Math.max(LEAST, tall))));
  const cell = width / cells;
  context.imageSmoothingEnabled = false;
  for (let i = 0; i < cells; i += 1) {
    const frame = Math.floor((i * shown.total) / cells);
    const bitmap = frameAt(shown, frame);
    if (!bitmap) continue;
    const wide = Math.min(cell - 1, (tall * bitmap.width) / bitmap.height);
    context.drawImage(bitmap, i * cell + (cell - wide) / 2, 0, wide, (wide * bitmap.height) / bitmap.width);
  }
  const unit = width / shown.total;
  const kinds = { given: colour("soft"), made: colour("accent"), open: colour("line") };
  for (let frame = 0; frame < shown.total; frame += 1) {
    context.fillStyle = kinds[kindOf(shown, frame)];
    context.fillRect(frame * unit, height - BAR, Math.max(1, unit - 1), BAR);
  }
  if (!range) return;
  context.globalAlpha = 0.2;
  context.fillStyle = colour("accent");
  context.fillRect(range[0] * unit, 0, (range[1] + 1 - range[0]) * unit, height);
}

/** A result that is not complete lacks frames between those made first and those given. */
export function frameAt({ bitmaps, total, before, behind, backwards }, frame) {
  const missing = total - bitmaps.length, open = backwards ? before : total - behind - missing;
  if (frame < open) return bitmaps[frame];
  return frame < open + missing ? null : bitmaps[frame - missing];
}

function kindOf({ done, total, before, behind, backwards }, frame) {
  if (frame < before || frame >= total - behind) return "given";
  const nth = backwards ? total - behind - 1 - frame : frame - before;
  return nth < done ? "made" : "open";
}
