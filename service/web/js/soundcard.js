// How a run of sounds looks: waveforms, spectrograms, a range to be made anew.

import { announce, h } from "./dom.js";
import { stateOf } from "./following.js";
import { drawSpectrogram, drawWave } from "./spectrum.js";

const STEP = 0.05; // seconds

export class SoundCard {
  /** acts: { edit(run, tile, [from, to]), extend(run, tile) }, { reuse, again, copy } with the run, remove with the card. */
  constructor(run, acts) {
    Object.assign(this, { run, acts });
    this.links = [];
    const title = `${run.kind === "generation" ? "" : `${run.kind}: `}${run.body.prompt}`;
    const button = (text, onclick, more = {}) => h("button", { type: "button", class: "quiet", onclick, ...more }, text);
    this.status = h("span", { class: "status" });
    this.close = button("×", () => acts.remove(this), { "aria-label": `Remove ${title}` });
    this.cancel = button("Cancel", () => {
      run.cancel();
      this.close.focus();
    });
    this.progress = h("progress", { max: 1, value: 0, "aria-label": "Progress" });
    this.problem = h("p", { class: "problem", hidden: true });
    this.tracks = run.tiles.map((tile, at) => this.#track(tile, at));
    this.footer = h("footer", { hidden: true }, button("Again", () => acts.again(run)), button("Use settings", () => acts.reuse(run)), button("Copy as…", () => acts.copy(run)));
    this.element = h(
      "article",
      { class: "card sound", "aria-label": `${title}, seed ${run.body.seed}` },
      h("header", {}, h("h3", {}, `${title} `, h("span", { class: "made" }, `seed ${run.body.seed}`)), this.status, this.cancel, this.close),
      this.progress,
      this.problem,
      ...this.tracks.map((track) => track.element),
      this.footer,
    );
    run.addEventListener("change", () => this.#soon());
    this.#soon();
  }

  remove() {
    for (const link of this.links) URL.revokeObjectURL(link);
    this.run.forget();
    this.element.remove();
  }

  #release(link) {
    URL.revokeObjectURL(link);
    this.links = this.links.filter((one) => one !== link);
  }

  #soon() {
    this.pending ??= requestAnimationFrame(() => {
      this.pending = null;
      this.#update();
    });
  }

  #track(tile, at) {
    const wave = h("canvas", { class: "wave", role: "img", "aria-label": `Waveform of sound ${at + 1}` });
    const spectrogram = h("canvas", { class: "spectrogram", role: "img", "aria-label": `Spectrogram of sound ${at + 1}` });
    const player = h("audio", { controls: true, preload: "auto", "aria-label": `Sound ${at + 1}` });
    const from = h("input", { type: "number", min: 0, step: STEP, value: 0, "aria-label": `From, seconds, of sound ${at + 1}` });
    const to = h("input", { type: "number", min: 0, step: STEP, value: 0, "aria-label": `To, seconds, of sound ${at + 1}` });
    const made = h("p", { class: "made" });
    const acts = h("div", { class: "acts", hidden: true });
    const element = h("section", { class: "track", "aria-label": `Sound ${at + 1}` }, wave, spectrogram, player, acts, made);
    const track = { tile, at, wave, spectrogram, player, from, to, made, acts, element, shown: null };
    for (const input of [from, to]) input.addEventListener("input", () => this.redraw());
    this.#selectable(track);
    return track;
  }

  /** Drag over the waveform to choose a range. */
  #selectable(track) {
    let start = null;
    const seconds = (event) => {
      const box = track.wave.getBoundingClientRect();
      const share = Math.min(1, Math.max(0, (event.clientX - box.left) / box.width));
      return Math.round((share * lengthOf(track)) / STEP) * STEP;
    };
    track.wave.addEventListener("pointerdown", (event) => {
      if (!track.tile.final) return;
      start = seconds(event);
      track.wave.setPointerCapture(event.pointerId);
    });
    track.wave.addEventListener("pointermove", (event) => {
      if (start === null) return;
      const now = seconds(event);
      track.from.value = Math.min(start, now).toFixed(2);
      track.to.value = Math.min(Math.max(start, now), lengthOf(track)).toFixed(2);
      this.redraw();
    });
    for (const end of ["pointerup", "pointercancel"]) track.wave.addEventListener(end, () => (start = null));
  }

  #update() {
    const { run } = this, words = stateOf(run);
    this.element.dataset.state = run.state;
    this.element.dataset.frames = Math.max(...run.tiles.map((tile) => tile.heard ?? 0));
    if (words !== this.status.textContent) {
      this.status.textContent = words;
      if (run.over || run.state === "queued") announce(`${run.body.prompt}: ${words}`);
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
    for (const track of this.tracks) {
      const frame = track.tile.frames[track.tile.frames.length - 1];
      if (frame && frame !== track.shown) this.#show(track, frame);
      if (track.tile.final && !track.acts.children.length) this.#offer(track);
    }
    this.redraw();
  }

  #show(track, frame) {
    track.shown = frame;
    if (frame.wave) drawSpectrogram(track.spectrogram, frame.wave);
    const playing = !track.player.paused; // a preview is not torn away from who listens
    if (!playing || track.tile.final) {
      const link = URL.createObjectURL(frame.file);
      if (track.player.src) this.#release(track.player.src);
      this.links.push(link);
      track.player.src = link;
      track.player.loop = Boolean(this.run.body.loop);
    }
    if (!track.tile.final) track.made.textContent = `preview: ${frame.codebooks || 1} codebook${frame.codebooks > 1 ? "s" : ""}`;
  }

  #offer(track) {
    const { tile, acts, at } = track, { final } = tile, { tasks, sound } = this.run.model.maskserve;
    const number = at + 1, length = lengthOf(track);
    const button = (text, label, onclick) => h("button", { type: "button", "aria-label": label, onclick }, text);
    if (tasks.includes("edit")) {
      for (const input of [track.from, track.to]) input.max = length.toFixed(2);
      track.to.value = Math.min(length, length / 2).toFixed(2);
      track.from.value = (length / 4).toFixed(2);
      acts.append(
        h("label", {}, "from ", track.from),
        h("label", {}, "to ", track.to),
        button("Make it anew", `Make the range of sound ${number} anew`, () => this.acts.edit(this.run, tile, [Number(track.from.value), Number(track.to.value)])),
      );
      if (length < sound.most_seconds - STEP) acts.append(button("Continue", `Continue sound ${number}`, () => this.acts.extend(this.run, tile)));
    }
    const repeat = h("input", { type: "checkbox", checked: track.player.loop, onchange: () => (track.player.loop = repeat.checked) });
    acts.append(h("label", { class: "check" }, repeat, " repeat"));
    const link = URL.createObjectURL(final.file);
    this.links.push(link);
    acts.append(h("a", { href: link, download: `${final.model}-${this.run.body.seed}-${final.audio_index}.wav`, "aria-label": `Save sound ${number}` }, "Save"));
    acts.hidden = false;
    track.made.textContent = `${final.revised_prompt ?? ""}${final.revised_prompt ? ", " : ""}${final.duration.toFixed(2)} s, steps ${final.codebook_steps.join(" + ")}${final.shortened ? ", shortened" : ""}`;
  }

  redraw() {
    for (const track of this.tracks) {
      const wave = track.shown?.wave;
      const range = track.tile.final ? [Number(track.from.value), Number(track.to.value)] : null;
      if (wave) drawWave(track.wave, wave, range && range[1] > range[0] ? range : null);
    }
  }
}

const lengthOf = ({ tile, shown }) => tile.final?.duration ?? (shown?.wave ? shown.wave.samples.length / shown.wave.rate : 0);
