// What a PNG file made here says about its making: the text chunk "maskserve".

/** The tags of a PNG (ArrayBuffer), or null. */
export function readTags(buffer) {
  const view = new DataView(buffer);
  if (buffer.byteLength < 16 || view.getUint32(0) !== 0x89504e47) return null;
  for (let at = 8; at + 12 <= buffer.byteLength; ) {
    const length = view.getUint32(at);
    const kind = String.fromCharCode(...new Uint8Array(buffer, at + 4, 4));
    if (kind === "tEXt" && at + 8 + length <= buffer.byteLength) {
      const text = new TextDecoder("latin1").decode(new Uint8Array(buffer, at + 8, length));
      const [name, value] = text.split("\0");
      if (name === "maskserve") {
        try {
          const seed = value.match(/"seed": ?(\d+)/)?.[1]; // as digits: it may be larger than JavaScript's numbers
          return { ...JSON.parse(value), seed };
        } catch {
          return null;
        }
      }
    }
    at += 12 + length;
  }
  return null;
}
