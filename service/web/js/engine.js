// The engine at work: reports of GET /v1/engine as figures, a strip of batches and a table of lanes.

import { events } from "./api.js";
import { $, colour, h, sharp, swatch } from "./dom.js";

const WINDOW = 10; // seconds
const BAR = 7; // pixels
const KINDS = { full: "full steps", reuse: "reuse steps", chain: "diffusion chains", preview: "previews", finish: "finished", encode: "encoded" };

export class EngineView {
  /** onRefused is called with an ApiError that a key would mend. */
  constructor(onRefused) {
    this.onRefused = onRefused;
    this.batches = [];
    this.abort = null;
    new ResizeObserver(() => this.#draw()).observe($("strip"));
  }

  start() {
    if (this.abort) return;
    this.abort = new AbortController();
    this.batches = [];
    this.#follow(this.abort.signal);
  }

  stop() {
    this.abort?.abort();
    this.abort = null;
  }

  async #follow(signal) {
    $("strip-legend").replaceChildren(...Object.entries(KINDS).map(([kind, text]) => swatch(`var(--${kind})`, text)));
    while (!signal.aborted) {
      try {
        for await (const report of events("/v1/engine?stream=true&interval=0.25", { signal })) this.#take(report);
      } catch (error) {
        if (signal.aborted) return;
        $("figures").replaceChildren(figure("engine", error.message));
        if (error.status === 401) {
          this.stop();
          this.onRefused(error);
          return;
        }
      }
      await new Promise((go) => setTimeout(go, 2000));
    }
  }

  #take(report) {
    const last = this.batches[this.batches.length - 1]?.number ?? 0;
    const newest = report.batches[report.batches.length - 1]?.number ?? last;
    if (newest < last) this.batches = []; // another server, which counts from one
    this.batches.push(...report.batches.filter((batch) => newest < last || batch.number > last));
    if (this.batches.length > 2000) this.batches.splice(0, this.batches.length - 2000);
    const recent = this.batches.filter((batch) => batch.ended > report.now - WINDOW);
    this.#figures(report, recent);
    this.#lanes(recent);
    this.#draw();
  }

  #figures(report, recent) {
    const steps = recent.filter((batch) => batch.kind === "step");
    const samples = sum(steps, "samples"), full = sum(steps, "full");
    const busy = sum(recent, "ms") / (10 * WINDOW);
    $("figures").replaceChildren(
      figure("samples running", report.running),
      figure("requests waiting", `${report.waiting} of ${report.max_waiting}`),
      figure("steps per second", (samples / WINDOW).toFixed(1)),
      figure("samples per step", steps.length ? (samples / steps.length).toFixed(1) : "–"),
      figure("full : reuse", samples ? `${full} : ${samples - full}` : "–"),
      figure("busy", `${Math.min(100, busy).toFixed(0)} %`),
    );
  }

  #lanes(recent) {
    const lanes = Map.groupBy ? Map.groupBy(recent, laneOf) : group(recent);
    const row = ([lane, batches]) => {
      const samples = sum(batches, "samples"), full = sum(batches, "full"), step = batches[0].kind === "step";
      const cells = [batches.length / WINDOW, samples / batches.length, null, sum(batches, "rows") / batches.length, sum(batches, "ms") / batches.length];
      const texts = cells.map((value) => (value == null ? (step ? `${full} : ${samples - full}` : "") : value.toFixed(1)));
      return h("tr", {}, h("th", { scope: "row" }, lane), ...texts.map((text) => h("td", {}, text)));
    };
    $("lanes").replaceChildren(...[...lanes].sort().map(row));
  }

  #draw() {
    if ($("view-engine").hidden) return;
    const [context, width, height] = sharp($("strip"));
    const shown = this.batches.slice(-Math.floor(width / BAR));
    const most = Math.max(4, ...shown.map((batch) => batch.samples));
    const paint = Object.fromEntries(Object.keys(KINDS).map((kind) => [kind, colour(kind)]));
    const unit = (height - 18) / most;
    shown.forEach((batch, i) => {
      const x = i * BAR, parts = batch.kind === "step" ? [["full", batch.full], ["reuse", batch.samples - batch.full]] : [[batch.kind, batch.samples]];
      let y = height - 2;
      for (const [kind, count] of parts) {
        context.fillStyle = paint[kind] ?? paint.encode;
        context.fillRect(x + 1, y - count * unit, BAR - 2, count * unit);
        y -= count * unit;
      }
    });
    context.fillStyle = colour("soft");
    context.font = "12px system-ui, sans-serif";
    context.fillText(`${most} samples`, 6, 13);
  }
}

const laneOf = (batch) => `${batch.model} · ${batch.kind}`;
const sum = (batches, name) => batches.reduce((total, batch) => total + batch[name], 0);
const figure = (name, value) => h("div", {}, h("dt", {}, name), h("dd", {}, String(value)));

function group(batches) {
  const lanes = new Map();
  for (const batch of batches) lanes.set(laneOf(batch), [...(lanes.get(laneOf(batch)) ?? []), batch]);
  return lanes;
}
