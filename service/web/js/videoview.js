// The video view: its form, its cards, a video that was opened.

import { ApiError } from "./api.js";
import { $, announce, h } from "./dom.js";
import { drawSeed } from "./params.js";
import { VideoCard } from "./videocard.js";
import { VideoForm } from "./videoform.js";
import { VideoRun } from "./videorun.js";
import { readVideoTags } from "./videotags.js";

const CARDS = 12;

export class VideoView {
  /** page: { askKey(why), copy(run) } */
  constructor(page) {
    this.page = page;
    this.form = new VideoForm();
    this.cards = new Set();
    this.models = [];
    this.acts = {
      edit: (run, tile, [from, to]) => {
        const { task: _, frames: __, include_input: ___, ranges: ____, ...body } = run.body;
        this.begin(new VideoRun("edit", { ...body, fps: tile.final.fps, seed: drawSeed(), ranges: `${from}-${to}` }, run.model, sourceOf(tile)));
      },
      extend: (run, tile, task) => {
        const { ranges: _, ...body } = run.body;
        const frames = body.frames ?? run.model.maskserve.footage.block;
        this.begin(new VideoRun("generation", { ...body, task, frames, fps: tile.final.fps, include_input: true, seed: drawSeed() }, run.model, sourceOf(tile)));
      },
      reuse: (run) => {
        this.choose(run.model.id);
        this.form.write(run.body);
        announce("The form has the settings of that run");
        $("v-task").focus();
      },
      again: (run) => this.begin(new VideoRun(run.kind, run.body, run.model, run.source && { ...run.source })),
      copy: (run) => page.copy(run),
      failed: (error) => this.problem(error),
      remove: (card) => {
        this.#dismiss(card);
        $("v-task").focus();
      },
    };
    $("v-model").addEventListener("change", () => this.choose($("v-model").value));
    $("video-form").addEventListener("submit", (event) => {
      event.preventDefault();
      this.generate();
    });
    $("v-open").addEventListener("click", () => $("v-file").click());
    $("v-file").addEventListener("change", () => {
      if ($("v-file").files[0]) this.open($("v-file").files[0]);
      $("v-file").value = "";
    });
  }

  /** models: of /v1/models, those that make videos. */
  use(models) {
    this.models = models;
    $("v-model").replaceChildren(...models.map((model) => h("option", { value: model.id }, model.id)));
    $("tab-video").hidden = models.length === 0;
    const kept = models.find((model) => model.id === this.form.model?.id);
    if (kept) $("v-model").value = kept.id;
    else if (models.length) this.choose(models[0].id);
  }

  choose(id) {
    const model = this.models.find((one) => one.id === id);
    if (!model) return;
    $("v-model").value = id;
    this.form.use(model);
    const { footage, sizes, licence, noncommercial } = model.maskserve;
    const sees = [[footage.past, "before"], [footage.future, "behind"]].filter(([count]) => count).map(([count, side]) => `${count} ${side}`);
    $("v-note").textContent = `${sizes[sizes.length - 1]} pixels, ${footage.channels === 1 ? "grey" : "colours"}, ${footage.block} frames a block, sees ${sees.join(", ")}; ${licence}${noncommercial ? ", non-commercial" : ""}`;
  }

  generate() {
    if (this.form.model) this.begin(new VideoRun("generation", this.form.read(), this.form.model, this.form.references));
  }

  begin(run) {
    this.problem(null);
    const card = new VideoCard(run, this.acts);
    this.cards.add(card);
    $("v-empty").hidden = true;
    $("v-cards").prepend(card.element);
    for (const old of this.cards) if (this.cards.size > CARDS && old.run.over) this.#dismiss(old);
    run.start().then(() => {
      if (run.error?.status === 401) this.page.askKey(run.error.message);
      else if (run.error && !run.begun) this.problem(run.error);
    });
  }

  cancel() {
    for (const card of this.cards) if (!card.run.over) card.run.cancel();
  }

  redraw() {
    for (const card of this.cards) card.redraw();
  }

  problem(error) {
    $("v-problem").hidden = !error;
    $("v-problem").textContent = error ? error.message : "";
    this.form.blame(error?.param ?? null, Boolean(error) && !document.querySelector("dialog[open]"));
  }

  /** A video dreamt here brings back its settings; any other is what frames are made from. */
  async open(file) {
    const tags = await readVideoTags(file).catch(() => null);
    const known = this.models.find((model) => model.id === tags?.model);
    if (known) this.choose(known.id);
    if (!this.form.model) {
      this.problem(new ApiError(0, { message: "This server has no video model." }));
      return;
    }
    if (known && tags.clip_task === "unconditional") {
      this.form.write({ ...tags.sampling, task: tags.clip_task, frames: tags.frames, seed: String(tags.seed) });
      announce("The form has the settings of that video");
    } else {
      this.form.give(file);
      announce(`Frames are made from ${file.name}`);
    }
  }

  #dismiss(card) {
    card.remove();
    this.cards.delete(card);
  }
}

const sourceOf = (tile) => ({ id: tile.final.id, file: tile.final.file });
