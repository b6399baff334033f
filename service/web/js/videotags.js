// What a video made here says about its making: a file in a ZIP, a comment in the others.

import { readZip } from "./zip.js";

const FIRST = '{"checkpoint":'; // tags are sorted
const LARGEST = 256 * 2 ** 20; // bytes

/** Tags of a ZIP, MP4, WebM or MKV (File), or null. */
export async function readVideoTags(file) {
  if (file.size > LARGEST) return null; // nothing that is made here
  const buffer = await file.arrayBuffer();
  const part = readZip(buffer)?.find(([name]) => name === "tags.json");
  const text = part ? new TextDecoder().decode(part[1]) : comment(new Uint8Array(buffer));
  if (!text) return null;
  try {
    return { ...JSON.parse(text), seed: text.match(/"seed": ?(\d+)/)?.[1] }; // as digits: it may be larger than JavaScript's numbers
  } catch {
    return null;
  }
}

function comment(bytes) {
  const text = new TextDecoder("latin1").decode(bytes), start = text.indexOf(FIRST);
  if (start < 0) return null;
  let depth = 0;
  for (let at = start; at < text.length; at += 1) {
    if (text[at] === "{") depth += 1;
    else if (text[at] === "}" && --depth === 0) return new TextDecoder().decode(bytes.subarray(start, at + 1));
  }
  return null;
}
