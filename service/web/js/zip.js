// ZIP files whose parts are stored as they are: the frames of a video, and what it says about its making.

const END = 0x06054b50, ENTRY = 0x02014b50, LONGEST_COMMENT = 0xffff;

/** [[name, Uint8Array]] in the order of the archive, or null for another kind of file, or one that is compressed. */
export function readZip(buffer) {
  const view = new DataView(buffer), parts = [];
  let end = buffer.byteLength - 22;
  const last = Math.max(0, end - LONGEST_COMMENT);
  while (end >= last && view.getUint32(end, true) !== END) end -= 1;
  if (end < last) return null;
  let at = view.getUint32(end + 16, true);
  for (let left = view.getUint16(end + 10, true); left > 0; left -= 1) {
    if (at + 46 > end || view.getUint32(at, true) !== ENTRY || view.getUint16(at + 10, true) !== 0) return null;
    const [size, name, extra, comment] = [view.getUint32(at + 20, true), ...[28, 30, 32].map((by) => view.getUint16(at + by, true))];
    const head = view.getUint32(at + 42, true);
    if (head + 30 > end || at + 46 + name > end) return null;
    const start = head + 30 + view.getUint16(head + 26, true) + view.getUint16(head + 28, true);
    if (start + size > end) return null;
    parts.push([new TextDecoder().decode(new Uint8Array(buffer, at + 46, name)), new Uint8Array(buffer, start, size)]);
    at += 46 + name + extra + comment;
  }
  return parts;
}
