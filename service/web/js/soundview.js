// The sound view: its form, its cards, a sound that was opened.

import { ApiError } from "./api.js";
import { $, announce } from "./dom.js";
import { MediaView } from "./mediaview.js";
import { drawSeed } from "./params.js";
import { SoundCard } from "./soundcard.js";
import { SoundForm } from "./soundform.js";
import { SoundRun } from "./soundrun.js";
import { readWav } from "./wav.js";

const CARDS = 20;

export class SoundView extends MediaView {
  constructor(page) {
    super(page, { tab: "sound", prefix: "s", form: new SoundForm(), Card: SoundCard, most: CARDS });
    this.acts = {
      edit: (run, tile, [from, to]) => this.#edit(run, tile, { ranges: `${from}-${to}` }),
      extend: (run, tile) => {
        const { most_seconds } = run.model.maskserve.sound;
        this.#edit(run, tile, { duration: Math.min(most_seconds, Math.round((tile.final.duration + most_seconds / 4) * 10) / 10) });
      },
      reuse: (run) => {
        this.choose(run.model.id);
        this.form.write(run.body);
        announce("The form has the settings of that run");
        $("s-prompt").focus();
      },
      again: (run) => this.begin(new SoundRun(run.kind, run.body, run.model, run.source && { ...run.source })),
      copy: (run) => page.copy(run),
      remove: (card) => {
        this.dismiss(card);
        $("s-prompt").focus();
      },
    };
    $("opened-edit").addEventListener("submit", (event) => {
      event.preventDefault();
      this.#editOpened();
    });
  }

  noted({ sound }) {
    return `up to ${sound.most_seconds} s at ${sound.sample_rate} Hz`;
  }

  generate() {
    if (this.form.model) this.begin(new SoundRun("generation", this.form.read(), this.form.model));
  }

  /** A WAV file made here brings back its settings; any sound can be made anew in part, or continued. */
  async open(file) {
    const wave = readWav(await file.arrayBuffer());
    const known = this.models.find((model) => model.id === wave?.tags?.model);
    if (known) {
      this.choose(known.id);
      const { tags } = wave;
      this.form.write({ ...tags.sampling, prompt: tags.prompt, n: tags.sample + 1, seed: String(tags.seed), duration: (wave.samples.length / wave.rate).toFixed(2), loop: tags.loop });
      announce("The form has the settings of that sound");
    }
    if (!this.form.model) return;
    this.opened = file;
    $("opened-name").textContent = file.name;
    $("opened-from").value = 0;
    $("opened-to").value = wave ? (wave.samples.length / wave.rate).toFixed(2) : 1;
    $("opened-sound").hidden = false;
    $("opened-sound").scrollIntoView({ block: "nearest" });
  }

  #editOpened() {
    const { duration, ...body } = this.form.read();
    const ranges = `${$("opened-from").value}-${$("opened-to").value}`;
    this.begin(new SoundRun("edit", { ...body, ranges }, this.form.model, { file: this.opened, name: this.opened.name }));
  }

  #edit(run, tile, change) {
    const { duration, loop, ranges, ...body } = run.body;
    if (!tile.final) throw new ApiError(0, { message: "That sound is not finished." });
    const source = { id: tile.final.id, file: tile.final.file };
    this.begin(new SoundRun("edit", { ...body, n: 1, seed: drawSeed(), ...change }, run.model, source));
  }
}
