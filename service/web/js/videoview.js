// The video view: its form, its cards, a video that was opened.

import { ApiError } from "./api.js";
import { $, announce } from "./dom.js";
import { MediaView } from "./mediaview.js";
import { drawSeed } from "./params.js";
import { VideoCard } from "./videocard.js";
import { VideoForm } from "./videoform.js";
import { VideoRun } from "./videorun.js";
import { readVideoTags } from "./videotags.js";

const CARDS = 12;

export class VideoView extends MediaView {
  constructor(page) {
    super(page, { tab: "video", prefix: "v", form: new VideoForm(), Card: VideoCard, most: CARDS });
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
        this.dismiss(card);
        $("v-task").focus();
      },
    };
  }

  noted({ footage, sizes }) {
    const sees = [[footage.past, "before"], [footage.future, "behind"]].filter(([count]) => count).map(([count, side]) => `${count} ${side}`);
    return `${sizes[sizes.length - 1]} pixels, ${footage.channels === 1 ? "grey" : "colours"}, ${footage.block} frames a block, sees ${sees.join(", ")}`;
  }

  generate() {
    if (this.form.model) this.begin(new VideoRun("generation", this.form.read(), this.form.model, this.form.references));
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
}

const sourceOf = (tile) => ({ id: tile.final.id, file: tile.final.file });
