// WAV files of 16 bits: their samples, and what one that was made here says about its making.

/** { rate, channels, samples: Float32Array of the first channel, tags }, or null for another kind of file. */
export function readWav(buffer) {
  const view = new DataView(buffer);
  if (buffer.byteLength < 12 || name(view, 0) !== "RIFF" || name(view, 8) !== "WAVE") return null;
  let format = null, data = null, tags = null;
  for (let at = 12; at + 8 <= buffer.byteLength; ) {
    const kind = name(view, at), size = Math.min(view.getUint32(at + 4, true), buffer.byteLength - at - 8);
    if (kind === "fmt ") format = { channels: view.getUint16(at + 10, true), rate: view.getUint32(at + 12, true), bits: view.getUint16(at + 22, true) };
    else if (kind === "data") data = { at: at + 8, size };
    else if (kind === "LIST") tags ??= comment(buffer, view, at + 12, at + 8 + size);
    at += 8 + size + (size % 2);
  }
  if (!format || !data || format.bits !== 16) return null;
  const { channels, rate } = format;
  const count = Math.floor(data.size / 2 / channels);
  const samples = Float32Array.from({ length: count }, (_, i) => view.getInt16(data.at + 2 * channels * i, true) / 32768);
  return { rate, channels, samples, tags };
}

const name = (view, at) => String.fromCharCode(...[0, 1, 2, 3].map((i) => view.getUint8(at + i)));

function comment(buffer, view, at, end) {
  while (at + 8 <= end) {
    const size = view.getUint32(at + 4, true);
    if (name(view, at) === "ICMT") {
      const text = new TextDecoder().decode(new Uint8Array(buffer, at + 8, Math.min(size, end - at - 8))).replace(/\0+$/, "");
      try {
        const seed = text.match(/"seed": ?(\d+)/)?.[1]; // as digits: it may be larger than JavaScript's numbers
        return { ...JSON.parse(text), seed };
      } catch {
        return null;
      }
    }
    at += 8 + size + (size % 2);
  }
  return null;
}
