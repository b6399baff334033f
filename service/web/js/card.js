// How a run looks: its tiles, its progress, its replay, and what can be done with a picture.

import { announce, h } from "./dom.js";
import { stateOf } from "./following.js";
import { drawGrid } from "./grid.js";

const REPLAY = 160; // milliseconds per step

export class Card {
  /** view: { overlay }; acts: { edit, vary } called with (run, tile), { reuse, again, copy } with the run, remove with the card. */
  constructor(run, view, acts) {
    Object.assign(this, { run, view, acts });
    this.links = [];
    this.tiles = run.tiles.map((tile, at) => this.#tile(tile, at));
    const title = `${run.kind === "generation" ? "" : `${run.kind}: `}${run.body.prompt ?? "no prompt"}`;
    const button = (text, onclick, more = {}) => h("button", { type: "button", class: "quiet", onclick, ...more }, text);
    this.status = h("span", { class: "status" });
    this.close = button("×", () => acts.remove(this), { "aria-label": `Remove ${title}` });
    this.cancel = button("Cancel", () => {
      run.cancel();
      this.close.focus();
    });
    this.progress = h("progress", { max: 1, value: 0, "aria-label": "Progress" });
    this.problem = h("p", { class: "problem", hidden: true });
    this.slider = h("input", { type: "range", min: 0, max: 0, value: 0, "aria-label": "Replay the steps", oninput: () => this.redraw() });
    this.play = button("Replay", () => this.#play());
    this.footer = h(
      "footer",
      { hidden: true },
      this.play,
      this.slider,
      button("Again", () => acts.again(run)),
      button("Use settings", () => acts.reuse(run)),
      button("Copy as…", () => acts.copy(run)),
    );
    this.element = h(
      "article",
      { class: "card", "aria-label": `${title}, seed ${run.body.seed}` },
      h("header", {}, h("h3", {}, `${title} `, h("span", { class: "made" }, `seed ${run.body.seed}`)), this.status, this.cancel, this.close),
      this.progress,
      this.problem,
      h("div", { class: "tiles" }, ...this.tiles.map((tile) => tile.element)),
      this.footer,
    );
    run.addEventListener("change", () => this.#soon());
    this.#soon();
  }

  /** Take it off the page and give its memory back. */
  remove() {
    clearInterval(this.playing);
    for (const link of this.links) URL.revokeObjectURL(link);
    this.run.forget();
    this.element.remove();
  }

  #soon() {
    this.pending ??= requestAnimationFrame(() => {
      this.pending = null;
      this.#update();
    });
  }

  #tile(tile, at) {
    const [width, height] = sizeOf(this.run.model);
    const picture = h("canvas", { class: "pixels", width, height, role: "img", "aria-label": `Picture ${at + 1}, not begun` });
    const overlay = h("canvas", { "aria-hidden": "true" });
    const shot = h("div", { class: "shot" }, picture, overlay);
    const acts = h("div", { class: "acts", hidden: true });
    const made = h("p", { class: "made" });
    shot.style.setProperty("--ratio", `${width} / ${height}`);
    return { tile, picture, overlay, acts, made, element: h("figure", { class: "tile" }, shot, acts, made), shown: null };
  }

  #update() {
    const { run } = this, words = stateOf(run);
    this.element.dataset.state = run.state;
    this.element.dataset.frames = Math.max(...run.tiles.map((tile) => tile.frames.length));
    if (words !== this.status.textContent) {
      this.status.textContent = words;
      if (run.over || run.state === "queued") announce(`${run.body.prompt ?? run.kind}: ${words}`);
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
    this.play.hidden = this.slider.hidden = !run.tiles.some((tile) => tile.final);
    this.slider.max = Math.max(...run.tiles.map((tile) => tile.frames[tile.frames.length - 1]?.step ?? 0));
    if (!this.playing) this.slider.value = this.slider.max;
    this.redraw();
    for (const tile of this.tiles) if (tile.tile.final && !tile.acts.children.length) this.#offer(tile);
  }

  #offer(view) {
    const { tile, acts } = view;
    const { final } = tile, { tasks } = this.run.model.maskserve, number = final.image_index + 1;
    const link = URL.createObjectURL(final.file);
    this.links.push(link);
    const name = `${final.model}-${this.run.body.seed}-${final.image_index}.${final.output_format}`;
    const button = (text, act, label) => h("button", { type: "button", "aria-label": `${label} picture ${number}`, onclick: () => act(this.run, tile) }, text);
    if (tasks.includes("edit")) acts.append(button("Paint", this.acts.edit, "Paint over"));
    if (tasks.includes("variation")) acts.append(button("Vary", this.acts.vary, "Make variations of"));
    acts.append(h("a", { href: link, download: name, "aria-label": `Save picture ${number}` }, "Save"));
    acts.hidden = false;
    const { full, reuse } = final.steps;
    view.made.textContent = `${full} full${reuse ? ` + ${reuse} reuse` : ""} steps${final.shortened ? ", shortened" : ""}`;
    view.picture.setAttribute("aria-label", `Picture ${number}: ${this.run.body.prompt ?? "variation"}`);
  }

  /** Show every tile as it was at the slider's step. */
  redraw() {
    const at = Number(this.slider.value);
    for (const view of this.tiles) {
      const frame = view.tile.frames.findLast((one) => one.step <= at) ?? view.tile.frames[0];
      if (!frame) continue;
      if (view.shown !== frame) {
        view.shown = frame;
        view.picture.width = frame.bitmap.width;
        view.picture.height = frame.bitmap.height;
        view.picture.getContext("2d").drawImage(frame.bitmap, 0, 0);
      }
      drawGrid(view.overlay, frame, this.run.model.maskserve.grid, this.view.overlay, this.run.steps.total);
    }
  }

  #play() {
    clearInterval(this.playing);
    this.slider.value = 0;
    this.redraw();
    this.playing = setInterval(() => {
      if (Number(this.slider.value) >= Number(this.slider.max)) {
        clearInterval(this.playing);
        this.playing = null;
      } else {
        this.slider.value = Number(this.slider.value) + 1;
        this.redraw();
      }
    }, REPLAY);
  }
}

export const sizeOf = (model) => model.maskserve.sizes.find((size) => size !== "auto").split("x").map(Number);
