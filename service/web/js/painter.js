// The dialog in which a picture is painted over, or gets room around it; makes the picture and mask of an edit.

import { $ } from "./dom.js";
import { sizeOf } from "./card.js";

const SIDES = ["top", "right", "bottom", "left"];
const UNDO = 50;

export class Painter {
  /** onPaint({ prompt, n, source }) is called with what Run takes; the dialog stays open until `close`, or `complain`. */
  constructor(onPaint) {
    this.onPaint = onPaint;
    this.canvas = $("paint");
    this.#listen();
  }

  /** Open for a picture (ImageBitmap) of any size; `id` names it on the server while it is unchanged. */
  open(picture, model, { id = null, prompt = "", n = 1 } = {}) {
    const [width, height] = sizeOf(model);
    const [rows, columns] = model.maskserve.grid;
    Object.assign(this, { picture: copied(picture), model, id, width, height, rows, columns });
    this.base = null; // the composed picture, until the room changes
    this.mask = new Uint8Array(width * height); // 1: made anew, painted by hand
    this.room = { top: 0, right: 0, bottom: 0, left: 0 }; // in tokens
    this.past = [];
    this.cursor = [Math.floor(columns / 2), Math.floor(rows / 2)];
    this.keyed = false;
    this.canvas.width = width;
    this.canvas.height = height;
    this.canvas.style.setProperty("--ratio", `${width} / ${height}`);
    $("brush").max = Math.max(2, Math.round(Math.min(width, height) / 2));
    $("brush").value = Math.max(1, Math.round(Math.min(width, height) / 8));
    $("paint-prompt").value = prompt;
    $("paint-n").value = n;
    this.complain("");
    this.#draw();
    if (!$("painter").open) $("painter").showModal();
    this.canvas.focus();
  }

  close() {
    $("painter").close();
  }

  /** Say why it was refused; nothing that was painted is lost. */
  complain(text) {
    $("paint-problem").textContent = text;
    $("paint-problem").hidden = !text;
    this.busy = false;
    this.#ready();
  }

  // -- the state as pixels

  /** Where the picture lies in the frame: a shrunk or shifted copy, the rest is room. */
  get inner() {
    const { top, right, bottom, left } = this.room;
    const [x, y] = this.#corner(left, top), [x2, y2] = this.#corner(this.columns - right, this.rows - bottom);
    return { x, y, width: x2 - x, height: y2 - y };
  }

  /** The pixel at which the token at `column`, `row` begins. */
  #corner(column, row) {
    return [Math.round((column * this.width) / this.columns), Math.round((row * this.height) / this.rows)];
  }

  get roomy() {
    return SIDES.some((side) => this.room[side] > 0);
  }

  /** The picture as it goes to the server, on a canvas of the model's size; room is black. */
  composed() {
    this.base ??= this.#compose();
    return this.base;
  }

  #compose() {
    const canvas = Object.assign(document.createElement("canvas"), { width: this.width, height: this.height });
    const context = canvas.getContext("2d", { willReadFrequently: true });
    context.fillStyle = "#000";
    context.fillRect(0, 0, this.width, this.height);
    const { x, y, width, height } = this.inner, { picture, room } = this;
    const scale = Math.max(width / picture.width, height / picture.height);
    const sw = width / scale, sh = height / scale;
    const along = (before, after) => (before && !after ? 0 : after && !before ? 1 : 0.5); // which part is kept
    const sx = (picture.width - sw) * along(room.left, room.right), sy = (picture.height - sh) * along(room.top, room.bottom);
    context.imageSmoothingEnabled = scale !== 1;
    context.imageSmoothingQuality = "high";
    context.drawImage(picture, sx, sy, sw, sh, x, y, width, height);
    return canvas;
  }

  /** True where pixels are made anew: painted, or room. */
  marked() {
    const all = Uint8Array.from(this.mask), { x, y, width, height } = this.inner;
    for (let py = 0; py < this.height; py++)
      for (let px = 0; px < this.width; px++)
        if (px < x || px >= x + width || py < y || py >= y + height) all[py * this.width + px] = 1;
    return all;
  }

  /** Tokens that the mask touches. */
  #touched(all) {
    const cells = new Set();
    for (let row = 0; row < this.rows; row++)
      for (let column = 0; column < this.columns; column++)
        if (this.#pixelsOf(column, row).some((i) => all[i])) cells.add(row * this.columns + column);
    return cells;
  }

  #pixelsOf(column, row) {
    const [x, y] = this.#corner(column, row), [x2, y2] = this.#corner(column + 1, row + 1);
    const found = [];
    for (let py = y; py < y2; py++) for (let px = x; px < x2; px++) found.push(py * this.width + px);
    return found;
  }

  #draw() {
    const context = this.canvas.getContext("2d", { willReadFrequently: true }), all = this.marked();
    context.drawImage(this.composed(), 0, 0);
    const image = context.getImageData(0, 0, this.width, this.height);
    all.forEach((on, i) => {
      if (!on) return;
      const dark = (Math.floor(i / this.width) + (i % this.width)) % 2;
      const tint = dark ? [214, 92, 12] : [242, 163, 58];
      for (let c = 0; c < 3; c++) image.data[4 * i + c] = 0.25 * image.data[4 * i + c] + 0.75 * tint[c];
    });
    context.putImageData(image, 0, 0);
    if (this.keyed) {
      const [x, y] = this.#corner(...this.cursor), [x2, y2] = this.#corner(this.cursor[0] + 1, this.cursor[1] + 1);
      context.strokeStyle = "#39f";
      context.strokeRect(x + 0.5, y + 0.5, x2 - x - 1, y2 - y - 1);
    }
    this.cells = this.#touched(all).size;
    $("brush-value").textContent = $("brush").value;
    $("paint-state").textContent = this.cells ? `${this.cells} of ${this.rows * this.columns} tokens are made anew` : "Nothing is marked yet";
    this.#ready();
  }

  #ready() {
    $("paint-go").disabled = this.cells === 0 || this.busy;
  }

  /** Once per frame, however fast the pointer moves. */
  #soon() {
    this.pending ??= requestAnimationFrame(() => {
      this.pending = null;
      this.#draw();
    });
  }

  #change(act) {
    this.past.push({ mask: Uint8Array.from(this.mask), room: { ...this.room } });
    if (this.past.length > UNDO) this.past.shift();
    act();
    this.base = null;
    this.#draw();
  }

  // -- tools

  #dab(x, y) {
    const radius = Number($("brush").value) / 2, on = $("tool-brush").checked ? 1 : 0;
    for (let py = Math.floor(y - radius); py <= y + radius; py++)
      for (let px = Math.floor(x - radius); px <= x + radius; px++) {
        const near = (px + 0.5 - x) ** 2 + (py + 0.5 - y) ** 2 <= Math.max(radius, 0.71) ** 2;
        if (near && px >= 0 && py >= 0 && px < this.width && py < this.height) this.mask[py * this.width + px] = on;
      }
  }

  #stroke(from, to) {
    const steps = Math.max(1, Math.ceil(Math.hypot(to[0] - from[0], to[1] - from[1]) * 2));
    for (let i = 0; i <= steps; i++) this.#dab(from[0] + ((to[0] - from[0]) * i) / steps, from[1] + ((to[1] - from[1]) * i) / steps);
  }

  #place(event) {
    const box = this.canvas.getBoundingClientRect();
    return [((event.clientX - box.left) / box.width) * this.width, ((event.clientY - box.top) / box.height) * this.height];
  }

  /** Give a side more room (or less), in tokens; the picture keeps at least one token. */
  #make(side, tokens) {
    const [most, other] = side === "left" || side === "right" ? [this.columns, side === "left" ? "right" : "left"] : [this.rows, side === "top" ? "bottom" : "top"];
    const room = Math.min(Math.max(0, tokens), most - 1 - this.room[other]);
    if (room !== this.room[side]) this.#change(() => (this.room[side] = room));
  }

  #toggleCell() {
    const [cx, cy] = this.cursor, inside = this.#pixelsOf(cx, cy);
    const on = inside.every((i) => this.mask[i]) ? 0 : 1;
    this.#change(() => inside.forEach((i) => (this.mask[i] = on)));
    $("paint-state").textContent += `; row ${cy + 1}, column ${cx + 1} ${on ? "marked" : "kept"}`;
  }

  // -- events

  #listen() {
    const { canvas } = this;
    let last = null;
    canvas.addEventListener("pointerdown", (event) => {
      canvas.setPointerCapture(event.pointerId);
      this.keyed = false;
      last = this.#place(event);
      this.#change(() => this.#stroke(last, last));
    });
    canvas.addEventListener("pointermove", (event) => {
      if (!last) return;
      for (const part of event.getCoalescedEvents?.() ?? [event]) {
        const here = this.#place(part);
        this.#stroke(last, here);
        last = here;
      }
      this.#soon();
    });
    for (const end of ["pointerup", "pointercancel"]) canvas.addEventListener(end, () => (last = null));
    canvas.addEventListener("keydown", (event) => this.#key(event));
    $("brush").addEventListener("input", () => this.#draw());
    $("undo").addEventListener("click", () => {
      const before = this.past.pop();
      if (before) Object.assign(this, before, { base: null });
      this.#draw();
    });
    $("clear").addEventListener("click", () => this.#change(() => (this.mask.fill(0), (this.room = { top: 0, right: 0, bottom: 0, left: 0 }))));
    $("invert").addEventListener("click", () => this.#change(() => (this.mask = this.mask.map((on) => 1 - on))));
    for (const handle of document.querySelectorAll(".handle")) this.#handle(handle);
    $("painter-form").addEventListener("submit", (event) => {
      if (event.submitter?.value === "go") {
        event.preventDefault();
        this.#go();
      }
    });
  }

  #key(event) {
    const moves = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
    if (event.key in moves) {
      const [dx, dy] = moves[event.key];
      this.cursor = [clamp(this.cursor[0] + dx, this.columns), clamp(this.cursor[1] + dy, this.rows)];
      this.keyed = true;
      this.#draw();
      $("paint-state").textContent = `row ${this.cursor[1] + 1}, column ${this.cursor[0] + 1}`;
    } else if (event.key === " ") {
      this.keyed = true;
      this.#toggleCell();
    } else return;
    event.preventDefault();
  }

  #handle(handle) {
    const { side } = handle.dataset;
    let start = null;
    let dragged = false;
    handle.addEventListener("click", (event) => {
      if (!dragged) this.#make(side, this.room[side] + (event.shiftKey ? -1 : 1));
      dragged = false;
    });
    handle.addEventListener("pointerdown", (event) => {
      handle.setPointerCapture(event.pointerId);
      start = { x: event.clientX, y: event.clientY, room: this.room[side] };
      dragged = false;
    });
    handle.addEventListener("pointermove", (event) => {
      if (!start) return;
      const box = this.canvas.getBoundingClientRect(), [w, h] = [box.width / this.columns, box.height / this.rows];
      const moved = { top: (start.y - event.clientY) / h, bottom: (event.clientY - start.y) / h, left: (start.x - event.clientX) / w, right: (event.clientX - start.x) / w }[side];
      const tokens = Math.round(moved);
      if (tokens !== 0) dragged = true;
      if (dragged) this.#make(side, start.room + tokens);
    });
    for (const end of ["pointerup", "pointercancel"]) handle.addEventListener(end, () => (start = null));
  }

  async #go() {
    this.complain("");
    this.busy = true;
    this.#ready();
    const composed = this.composed(), all = this.marked();
    const mask = Object.assign(document.createElement("canvas"), { width: this.width, height: this.height });
    const image = new ImageData(this.width, this.height);
    all.forEach((on, i) => (image.data[4 * i + 3] = on ? 0 : 255));
    mask.getContext("2d").putImageData(image, 0, 0);
    const [file, maskFile, before] = await Promise.all([png(composed), png(mask), createImageBitmap(composed)]);
    const unchanged = !this.roomy && this.picture.width === this.width && this.picture.height === this.height;
    const source = { id: unchanged ? this.id : null, file, mask: maskFile, before };
    this.onPaint({ prompt: $("paint-prompt").value.trim(), n: Number($("paint-n").value), source });
  }
}

/** The card that a picture comes from may be removed meanwhile. */
function copied(picture) {
  const canvas = Object.assign(document.createElement("canvas"), { width: picture.width, height: picture.height });
  canvas.getContext("2d").drawImage(picture, 0, 0);
  return canvas;
}

const clamp = (value, count) => Math.min(Math.max(value, 0), count - 1);
const png = (canvas) => new Promise((resolve) => canvas.toBlob(resolve, "image/png"));
