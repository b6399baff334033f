// How a run looks: its tiles, its progress, its replay, and what can be done with a picture.

import { announce, h } from "./dom.js";
import { drawGrid } from "./grid.js";

const DONE = { done: "done", cancelled: "cancelled" };

export class Card {
  /** view: { overlay }; acts: { edit, vary, reuse, copy } called with (run, tile), remove with the card. */
  constructor(run, view, acts) {
    Object.assign(this, { run, view, acts });
    this.tiles = run.tiles.map((tile, at) => this.#tile(tile, at));
    const title = `${run.kind === "generation" ? "" : `${run.kind}: `}${run.body.prompt ?? "no prompt"}`;
    this.status = h("span", { class: "status" });
    this.cancel = h("button", { type: "button", class: "quiet", onclick: () => run.cancel() }, "Cancel");
    this.progress = h("progress", { max: 1, value: 0, "aria-label": "Progress" });
    this.problem = h("p", { class: "problem", role: "alert", hidden: true });
    this.slider = h("input", { type: "range", min: 0, max: 0, value: 0, "aria-label": "Replay the steps", oninput: () => this.#replay() });
    this.play = h("button", { type: "button", class: "quiet", onclick: () => this.#play() }, "Replay");
    const copy = h("button", { type: "button", class: "quiet", onclick: () => acts.copy(run) }, "Copy as…");
    const again = h("button", { type: "button", class: "quiet", onclick: () => acts.reuse(run) }, "Use settings");
    const close = h("button", { type: "button", class: "quiet", "aria-label": `Remove ${title}`, onclick: () => acts.remove(this) }, "×");
    this.footer = h("footer", { hidden: true }, this.play, this.slider, again, copy);
    this.element = h(
      "article",
      { class: "card", "aria-label": `${title}, seed ${seedOf(run)}` },
      h("header", {}, h("h3", {}, `${title} `, h("span", { class: "made" }, `seed ${seedOf(run)}`)), this.status, this.cancel, close),
      this.progress,
      this.problem,
      h("div", { class: "tiles" }, ...this.tiles.map((tile) => tile.element)),
      this.footer,
    );
    run.addEventListener("change", () => this.#soon());
    this.#soon();
  }

  #soon() {
    this.pending ??= requestAnimationFrame(() => {
      this.pending = null;
      this.#update();
    });
  }

  #tile(tile, at) {
    const { model } = this.run;
    const [width, height] = sizeOf(model);
    const picture = h("canvas", { class: "pixels", width, height, role: "img", "aria-label": `Picture ${at + 1}, not begun` });
    const overlay = h("canvas", { "aria-hidden": "true" });
    const shot = h("div", { class: "shot" }, picture, overlay);
    const acts = h("div", { class: "acts", hidden: true });
    const made = h("p", { class: "made" });
    shot.style.setProperty("--ratio", `${width} / ${height}`);
    return { tile, picture, overlay, acts, made, element: h("figure", { class: "tile" }, shot, acts, made), shown: null };
  }

  #update() {
    const { run } = this;
    this.element.dataset.state = run.state;
    this.status.textContent = text(run);
    this.cancel.hidden = run.over;
    this.progress.hidden = run.over;
    if (run.state === "running") this.progress.value = run.steps.done / run.steps.total;
    else this.progress.removeAttribute("value");
    if (run.over && !this.told) {
      this.told = true;
      announce(`${run.body.prompt ?? run.kind}: ${text(run)}`);
    }
    if (run.error) {
      this.problem.hidden = false;
      this.problem.textContent = run.error.message + (run.error.retryAfter ? ` Try again in ${run.error.retryAfter} s.` : "");
    }
    const most = Math.max(...run.tiles.map((tile) => tile.frames.length));
    this.element.dataset.frames = most;
    this.slider.max = Math.max(0, most - 1);
    if (!this.playing) this.slider.value = this.slider.max;
    this.footer.hidden = !run.tiles.some((tile) => tile.final);
    for (const tile of this.tiles) {
      this.#draw(tile, tile.tile.frames.length - 1);
      if (tile.tile.final && !tile.acts.children.length) this.#offer(tile);
    }
  }

  #offer(view) {
    const { tile, acts } = view;
    const { final } = tile;
    const link = URL.createObjectURL(final.file);
    const name = `${final.model}-${final.seed}-${final.image_index}.${final.output_format}`;
    const button = (text, what, label) => h("button", { type: "button", "aria-label": `${label} picture ${final.image_index + 1}`, onclick: () => what(this.run, tile) }, text);
    acts.append(
      button("Paint", this.acts.edit, "Paint over"),
      button("Vary", this.acts.vary, "Make variations of"),
      h("a", { href: link, download: name, "aria-label": `Save picture ${final.image_index + 1}` }, "Save"),
    );
    acts.hidden = false;
    const { full, reuse } = final.steps;
    view.made.textContent = `${full} full${reuse ? ` + ${reuse} reuse` : ""} steps${final.shortened ? ", shortened" : ""}`;
    view.picture.setAttribute("aria-label", `Picture ${final.image_index + 1}: ${this.run.body.prompt ?? "variation"}`);
  }

  #draw(view, at) {
    const frame = view.tile.frames[Math.min(at, view.tile.frames.length - 1)];
    if (!frame) return;
    if (view.shown !== frame) {
      view.shown = frame;
      const context = view.picture.getContext("2d");
      if (frame.bitmap) {
        view.picture.width = frame.bitmap.width;
        view.picture.height = frame.bitmap.height;
        context.drawImage(frame.bitmap, 0, 0);
      }
    }
    drawGrid(view.overlay, frame, this.run.model.maskserve.grid, this.view.overlay, this.run.steps.total);
  }

  /** Draw again, after the overlay or the size has changed. */
  redraw() {
    this.#replay();
  }

  #replay() {
    for (const tile of this.tiles) this.#draw(tile, Number(this.slider.value));
  }

  #play() {
    clearInterval(this.playing);
    this.slider.value = 0;
    this.#replay();
    this.playing = setInterval(() => {
      if (Number(this.slider.value) >= Number(this.slider.max)) {
        clearInterval(this.playing);
        this.playing = null;
      } else {
        this.slider.value = Number(this.slider.value) + 1;
        this.#replay();
      }
    }, 160);
  }
}

export const sizeOf = (model) => model.maskserve.sizes.find((size) => size !== "auto").split("x").map(Number);
const seedOf = (run) => run.body.seed?.rawJSON ?? run.body.seed;

function text(run) {
  switch (run.state) {
    case "connecting":
      return "waiting for a connection";
    case "queued":
      return `in the queue, place ${run.place}`;
    case "running":
      return run.steps.done ? `step ${run.steps.done} of ${run.steps.total}` : "started";
    case "failed":
      return "failed";
    default:
      return DONE[run.state];
  }
}
