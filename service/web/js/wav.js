// WAV files of 16 and 24 bits and of floats: their samples, and what one that was made here says about its making.

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
  const read = format && READERS[format.bits];
  if (!read || !data) return null;
  const { channels, rate } = format, width = format.bits / 8;
  const count = Math.floor(data.size / width / channels);
  const samples = Float32Array.from({ length: count }, (_, i) => read(view, data.at + width * channels * i));
  return { rate, channels, samples, tags };
}

const READERS = {
  16: (view, at) => view.getInt16(at, true) / 2 ** 15,
  24: (view, at) => ((view.getUint8(at + 2) << 24) | (view.getUint16(at, true) << 8)) / 2 ** 31,
  32: (view, at) => view.getFloat32(at, true), // servers answer with floats, not with integers of 32 bits
};

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
