// How a video looks: a screen that plays it, its frames side by side, a range to be made anew.

import { saved } from "./api.js";
import { announce, h } from "./dom.js";
import { stateOf } from "./following.js";
import { drawTimeline, frameAt } from "./timeline.js";

const MULTIPLES = [1, 2, 4, 8];
const LARGEST = 2048; // pixels
const FORMATS = { mp4: "MP4", webm: "WebM", gif: "GIF", mkv: "MKV, lossless", zip: "PNGs" };

export class VideoCard {
  /** acts: { edit(run, tile, [from, to]), extend(run, tile, task) }, { reuse, again, copy, failed } with the run, remove with the card. */
  constructor(run, acts) {
    Object.assign(this, { run, acts, tile: run.tiles[0], at: 0, playing: null, range: null });
    const title = run.kind === "edit" ? "edit" : run.body.task;
    const button = (text, onclick, more = {}) => h("button", { type: "button", class: "quiet", onclick, ...more }, text);
    this.status = h("span", { class: "status" });
    this.close = button("×", () => acts.remove(this), { "aria-label": `Remove ${title}` });
    this.cancel = button("Cancel", () => {
      run.cancel();
      this.close.focus();
    });
    this.progress = h("progress", { max: 1, value: 0, "aria-label": "Progress" });
    this.problem = h("p", { class: "problem", hidden: true });
    this.screen = h("canvas", { class: "screen pixels", width: 1, height: 1, role: "img", "aria-label": "Video, not begun" });
    this.timeline = h("canvas", { class: "timeline", role: "img", "aria-label": "Frames of the video" });
    this.play = button("Play", () => this.#toggle(), { disabled: true });
    this.slider = h("input", { type: "range", min: 0, max: 0, value: 0, step: 1, class: "grow", "aria-label": "Frame", oninput: () => this.#seek(Number(this.slider.value)) });
    this.where = h("span", { class: "where" });
    this.head = h("div", { class: "playhead", hidden: true });
    this.from = h("input", { type: "number", min: 0, step: 1, "aria-label": "From frame", oninput: () => this.#typed() });
    this.to = h("input", { type: "number", min: 0, step: 1, "aria-label": "To frame", oninput: () => this.#typed() });
    this.offers = h("div", { class: "acts", hidden: true });
    this.made = h("p", { class: "made" });
    this.footer = h("footer", { hidden: true }, button("Again", () => acts.again(run)), button("Use settings", () => acts.reuse(run)), button("Copy as…", () => acts.copy(run)));
    this.element = h(
      "article",
      { class: "card", "aria-label": `${title}, seed ${run.body.seed}` },
      h("header", {}, h("h3", {}, `${title} `, h("span", { class: "made" }, `seed ${run.body.seed}`)), this.status, this.cancel, this.close),
      this.progress,
      this.problem,
      h("section", { class: "track", "aria-label": "Video" }, this.screen, h("div", { class: "player" }, this.play, this.slider, this.where), h("div", { class: "strip-of-frames" }, this.timeline, this.head), this.offers, this.made),
      this.footer,
    );
    this.#selectable();
    run.addEventListener("change", () => this.#soon());
    this.#soon();
  }

  get shown() {
    return this.tile.frames[0] ?? null;
  }

  remove() {
    this.#pause();
    this.run.forget();
    this.element.remove();
  }

  #soon() {
    this.pending ??= requestAnimationFrame(() => {
      this.pending = null;
      this.#update();
    });
  }

  #update() {
    const { run, shown } = this, words = stateOf(run);
    this.element.dataset.state = run.state;
    this.element.dataset.frames = this.tile.seen ?? 0;
    if (words !== this.status.textContent) {
      this.status.textContent = words;
      if (run.over || run.state === "queued") announce(`video: ${words}`);
    }
    this.cancel.hidden = run.over;
    this.progress.hidden = run.over;
    if (run.state === "running") this.progress.value = run.steps.done / run.steps.total;
    else this.progress.removeAttribute("value");
    if (run.error) {
      this.problem.hidden = false;
      this.problem.textContent = run.error.message + (run.error.retryAfter ? ` Try again in ${run.error.retryAfter} s.` : "");
    }
    this.footer.hidden = !run.over;
    if (shown) {
      this.slider.max = shown.total - 1;
      this.play.disabled = false;
      this.head.hidden = false;
      this.screen.setAttribute("aria-label", `Video of ${shown.total} frames${this.tile.final ? "" : ", not finished"}`);
      if (this.tile.final && this.offers.hidden) this.#offer(shown);
      else if (!this.tile.final && !this.playing) this.at = this.#newest(shown);
    }
    this.redraw();
  }

  /** The frame that is being made. */
  #newest({ done, total, before, behind, backwards }) {
    const nth = Math.min(done, total - before - behind - 1);
    return backwards ? total - behind - 1 - nth : before + nth;
  }

  #offer(shown) {
    const { run, tile } = this, { final } = tile, { tasks, footage } = run.model.maskserve;
    const button = (text, onclick) => h("button", { type: "button", onclick }, text);
    const chosen = h("select", { "aria-label": "Format" }, ...Object.entries(FORMATS).map(([format, name]) => h("option", { value: format }, name)));
    const name = `${final.model}-${run.body.seed}`;
    const size = h("select", { "aria-label": "Size" }, ...sizesOf(final.size).map((one) => h("option", {}, one)));
    this.range = [shown.before, shown.total - 1 - shown.behind];
    for (const input of [this.from, this.to]) input.max = shown.total - 1;
    this.#write();
    if (tasks.includes("edit")) {
      this.offers.append(
        h("label", {}, "from ", this.from),
        h("label", {}, "to ", this.to),
        button("Make them anew", () => this.acts.edit(run, tile, this.range)),
      );
    }
    const longer = { prediction: "Go on", past: "Go back" };
    for (const [task, text] of Object.entries(longer)) {
      if (footage.tasks.includes(task) && shown.total >= (task === "past" ? footage.future : footage.past)) this.offers.append(button(text, () => this.acts.extend(run, tile, task)));
    }
    const save = button("Save", () => {
      const format = chosen.value;
      const plain = format === "zip" && size.value === final.size;
      const file = plain ? Promise.resolve(final.file) : saved(`/v1/videos/${final.id}/content?format=${format}&size=${size.value}`);
      file.then((content) => download(content, `${name}.${format}`), (error) => this.acts.failed(error));
    });
    this.offers.append(chosen, size, save);
    this.offers.hidden = false;
    this.at = 0;
    const { steps } = final;
    this.made.textContent = `${final.task}, ${shown.total} frames, ${final.seconds} s, ${steps.full + steps.reuse} steps${final.shortened ? ", shortened" : ""}`;
    if (!this.playing && !matchMedia("(prefers-reduced-motion: reduce)").matches) this.#toggle();
  }

  #toggle() {
    if (this.playing) {
      this.#pause();
      return;
    }
    this.play.textContent = "Pause";
    this.playing = setInterval(() => {
      if (this.shown && !document.hidden && this.element.offsetParent) this.#seek((this.at + 1) % this.shown.total);
    }, 1000 / (this.tile.final?.fps ?? this.run.model.maskserve.footage.fps));
  }

  #pause() {
    clearInterval(this.playing);
    this.playing = null;
    this.play.textContent = "Play";
  }

  #seek(frame) {
    this.at = frame;
    this.#look();
  }

  /** Drag over the frames to choose some; a click looks at one. */
  #selectable() {
    let start = null;
    const frame = (event) => {
      const box = this.timeline.getBoundingClientRect();
      return Math.min(this.shown.total - 1, Math.max(0, Math.floor(((event.clientX - box.left) / box.width) * this.shown.total)));
    };
    this.timeline.addEventListener("pointerdown", (event) => {
      if (!this.tile.final) return;
      start = frame(event);
      this.#pause();
      this.#seek(start);
      this.timeline.setPointerCapture(event.pointerId);
    });
    this.timeline.addEventListener("pointermove", (event) => {
      if (start === null) return;
      const now = frame(event);
      this.range = [Math.min(start, now), Math.max(start, now)];
      this.#write();
      this.#seek(now);
    });
    for (const end of ["pointerup", "pointercancel"]) this.timeline.addEventListener(end, () => (start = null));
  }

  #write() {
    [this.from.value, this.to.value] = this.range;
    this.redraw();
  }

  #typed() {
    this.range = [Number(this.from.value), Number(this.to.value)];
    this.redraw();
  }

  redraw() {
    const { shown } = this;
    if (!shown) return;
    drawTimeline(this.timeline, shown, this.tile.final ? this.range : null);
    this.#look();
  }

  /** At the frame `at`. */
  #look() {
    const { shown } = this;
    const bitmap = frameAt(shown, this.at);
    if (bitmap) {
      Object.assign(this.screen, { width: bitmap.width, height: bitmap.height });
      this.screen.getContext("2d").drawImage(bitmap, 0, 0);
    }
    this.slider.value = this.at;
    this.where.textContent = `frame ${this.at} of ${shown.total}`;
    this.head.style.left = `${(100 * (this.at + 0.5)) / shown.total}%`;
  }
}

/** Whole multiples, which repeat pixels. */
function sizesOf(own) {
  const [width, height] = own.split("x").map(Number);
  return MULTIPLES.filter((by) => by * Math.max(width, height) <= LARGEST).map((by) => `${by * width}x${by * height}`);
}

function download(content, name) {
  const link = h("a", { href: URL.createObjectURL(content), download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}
