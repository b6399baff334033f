// The token grid over a picture: which tokens are decided, in which order, how sure the model was.

import { h, sharp, swatch } from "./dom.js";

// A perceptually even scale from dark violet to yellow.
const STOPS = [[68, 1, 84], [59, 82, 139], [33, 145, 140], [94, 201, 98], [253, 231, 37]];

export function ramp(share) {
  const at = Math.min(Math.max(share, 0), 1) * (STOPS.length - 1);
  const low = Math.min(Math.floor(at), STOPS.length - 2);
  const mixed = STOPS[low].map((value, i) => Math.round(value + (STOPS[low + 1][i] - value) * (at - low)));
  return `rgb(${mixed.join(" ")})`;
}

/** frame: { known, confidence, order }, each per token or absent; shape: [rows, columns] */
export function drawGrid(canvas, frame, shape, mode, stepsTotal) {
  const [context, width, height] = sharp(canvas);
  context.clearRect(0, 0, width, height);
  if (mode === "none" || !frame?.known) return;
  const [rows, columns] = shape;
  const w = width / columns, t = height / rows;
  for (let i = 0; i < frame.known.length; i++) {
    const x = (i % columns) * w, y = Math.floor(i / columns) * t;
    const known = frame.known[i];
    if (mode === "unknown") {
      if (!known) cross(context, x, y, w, t);
      continue;
    }
    if (mode === "order" && !known) cross(context, x, y, w, t);
    else {
      const share = mode === "order" ? (frame.order?.[i] ?? 0) / stepsTotal : frame.confidence?.[i];
      if (share == null || (mode === "order" && !frame.order?.[i])) continue;
      context.globalAlpha = 0.62;
      context.fillStyle = ramp(share);
      context.fillRect(x, y, w, t);
      context.globalAlpha = 1;
      if (!known) cross(context, x, y, w, t);
    }
  }
  context.strokeStyle = "rgb(127 127 127 / .35)";
  context.lineWidth = 1;
  context.beginPath();
  for (let c = 1; c < columns; c++) context.rect(c * w, 0, 0, height);
  for (let r = 1; r < rows; r++) context.rect(0, r * t, width, 0);
  context.stroke();
}

function cross(context, x, y, w, t) {
  context.fillStyle = "rgb(20 24 29 / .55)";
  context.fillRect(x, y, w, t);
  context.fillStyle = "rgb(255 255 255 / .8)";
  const size = Math.max(1.5, Math.min(w, t) / 8);
  context.fillRect(x + (w - size) / 2, y + (t - size) / 2, size, size);
}

export function legend(mode) {
  if (mode === "none") return [];
  const undecided = swatch("#14181d", "not decided");
  if (mode === "unknown") return [undecided];
  const scale = h("span", { class: "scale" });
  scale.style.background = `linear-gradient(90deg, ${[0, 0.25, 0.5, 0.75, 1].map(ramp).join(",")})`;
  const [low, high] = mode === "order" ? ["first step", "last"] : ["unsure", "sure"];
  return [h("span", {}, low, " ", scale, " ", high), undecided];
}
