// Pictures of a sound: its waveform, and its spectrogram.

import { colour, sharp } from "./dom.js";
import { ramp } from "./grid.js";

const WINDOW = 512; // samples of a spectrum
const RANGE = 80; // decibels from the loudest to what is drawn as silence

/** wave: { samples, rate }; selected: [from, to] in seconds, or null. */
export function drawWave(canvas, wave, selected) {
  const [context, width, height] = sharp(canvas);
  const { samples, rate } = wave;
  context.clearRect(0, 0, width, height);
  if (selected) {
    const x = (seconds) => (seconds * rate * width) / samples.length;
    context.fillStyle = colour("accent");
    context.globalAlpha = 0.25;
    context.fillRect(x(selected[0]), 0, Math.max(1, x(selected[1]) - x(selected[0])), height);
    context.globalAlpha = 1;
  }
  context.fillStyle = colour("ink");
  const columns = Math.max(1, Math.floor(width));
  for (let column = 0; column < columns; column++) {
    const from = Math.floor((column * samples.length) / columns), to = Math.max(from + 1, Math.floor(((column + 1) * samples.length) / columns));
    let low = 0, high = 0;
    for (let i = from; i < to && i < samples.length; i++) {
      low = Math.min(low, samples[i]);
      high = Math.max(high, samples[i]);
    }
    const top = ((1 - high) * height) / 2, bottom = ((1 - low) * height) / 2;
    context.fillRect(column, top, 1, Math.max(1, bottom - top));
  }
}

/** Time to the right, frequency upwards, from 0 to half the rate. */
export function drawSpectrogram(canvas, { samples }) {
  const columns = Math.min(400, Math.max(1, Math.floor(samples.length / (WINDOW / 4)))), rows = WINDOW / 2;
  const levels = Array.from({ length: columns }, (_, column) => spectrum(samples, Math.round((column * Math.max(0, samples.length - WINDOW)) / Math.max(1, columns - 1))));
  const loudest = Math.max(...levels.map((one) => Math.max(...one)));
  canvas.width = columns;
  canvas.height = rows;
  const context = canvas.getContext("2d");
  levels.forEach((one, column) => {
    for (let row = 0; row < rows; row++) {
      context.fillStyle = ramp(1 + (one[row] - loudest) / RANGE);
      context.fillRect(column, rows - 1 - row, 1, 1);
    }
  });
}

/** Decibels of WINDOW / 2 frequencies around a place. */
function spectrum(samples, at) {
  const re = new Float32Array(WINDOW), im = new Float32Array(WINDOW);
  for (let i = 0; i < WINDOW; i++) re[i] = (samples[at + i] ?? 0) * (0.5 - 0.5 * Math.cos((2 * Math.PI * i) / WINDOW));
  fft(re, im);
  return Float32Array.from({ length: WINDOW / 2 }, (_, k) => 10 * Math.log10(re[k] ** 2 + im[k] ** 2 + 1e-10));
}

/** In place, of a power of two. */
function fft(re, im) {
  const n = re.length;
  for (let i = 1, j = 0; i < n; i++) {
    let bit = n >> 1;
    for (; j & bit; bit >>= 1) j ^= bit;
    j ^= bit;
    if (i < j) {
      [re[i], re[j]] = [re[j], re[i]];
      [im[i], im[j]] = [im[j], im[i]];
    }
  }
  for (let size = 2; size <= n; size *= 2) {
    const angle = (-2 * Math.PI) / size;
    for (let start = 0; start < n; start += size) {
      for (let k = 0; k < size / 2; k++) {
        const c = Math.cos(angle * k), s = Math.sin(angle * k), a = start + k, b = a + size / 2;
        const x = re[b] * c - im[b] * s, y = re[b] * s + im[b] * c;
        re[b] = re[a] - x;
        im[b] = im[a] - y;
        re[a] += x;
        im[a] += y;
      }
    }
  }
}
