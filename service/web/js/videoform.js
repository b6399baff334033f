// The form of the video view: what the model allows, what the user chose, and the request made of both.

import { $, h } from "./dom.js";
import { drawSeed } from "./params.js";

const NUMBERS = ["num_inference_steps"];
const WORDS = ["sampler", "spacing", "final_denoise"];
const TASKS = {
  prediction: "that go on from a clip",
  past: "that lead up to a clip",
  interpolation: "between two clips",
  unconditional: "from nothing",
};
const field = (name) => $(`v-${name}`);

export class VideoForm {
  constructor() {
    this.model = null;
    field("num_inference_steps").addEventListener("input", () => this.show());
    field("task").addEventListener("change", () => this.show());
    $("v-dice").addEventListener("click", () => (field("seed").value = drawSeed()));
    $("v-reset").addEventListener("click", () => this.use(this.model));
  }

  get facts() {
    return this.model.maskserve;
  }

  use(model) {
    if (!model) return;
    this.model = model;
    const { limits, defaults, footage } = this.facts;
    field("task").replaceChildren(...footage.tasks.map((task) => h("option", { value: task }, TASKS[task])));
    Object.assign(field("num_inference_steps"), { min: limits.min_steps, max: Math.min(limits.max_steps, Math.max(250, 2 * defaults.num_inference_steps)) });
    Object.assign(field("frames"), { max: footage.most, value: 2 * footage.block });
    for (const name of [...NUMBERS, ...WORDS]) field(name).value = defaults[name] ?? "";
    for (const name of ["fps", "deadline_ms", "before", "behind"]) field(name).value = "";
    field("include_input").checked = true;
    this.show();
  }

  show() {
    $("v-steps-value").textContent = field("num_inference_steps").value;
    const task = field("task").value;
    $("v-before-field").hidden = !["prediction", "interpolation"].includes(task);
    $("v-behind-field").hidden = !["past", "interpolation"].includes(task);
    field("include_input").closest("label").hidden = task === "unconditional";
    field("frames").disabled = task === "interpolation";
    if (this.model && task === "interpolation") field("frames").value = this.facts.footage.block;
  }

  /** The request as the API takes it: the model's own defaults are left out, the seed never is. */
  read() {
    const text = field("seed").value.trim();
    const seed = text === "" ? drawSeed() : /^\d+$/.test(text) && Number(text) <= Number.MAX_SAFE_INTEGER ? Number(text) : text;
    const task = field("task").value;
    const body = { model: this.model.id, task, frames: Number(field("frames").value), seed };
    const { defaults } = this.facts;
    for (const name of NUMBERS) if (field(name).value !== String(defaults[name])) body[name] = Number(field(name).value);
    for (const name of WORDS) if (field(name).value !== defaults[name]) body[name] = field(name).value;
    for (const name of ["fps", "deadline_ms"]) if (field(name).value) body[name] = Number(field(name).value);
    if (field("include_input").checked && task !== "unconditional") body.include_input = true;
    return body;
  }

  /** The files that the task needs, null where it needs none. */
  get references() {
    const task = field("task").value;
    if (task === "unconditional") return null;
    const files = (name, shown) => (shown ? [...field(name).files] : []);
    return { before: files("before", task !== "past"), behind: files("behind", task !== "prediction") };
  }

  /** The form as a request had it, but for its clips. */
  write(body) {
    const { defaults, footage } = this.facts;
    for (const name of [...NUMBERS, ...WORDS]) field(name).value = body[name] ?? defaults[name] ?? "";
    for (const name of ["fps", "seed", "deadline_ms"]) field(name).value = body[name] ?? "";
    field("task").value = body.task ?? footage.tasks[0];
    field("frames").value = body.frames ?? footage.block;
    field("include_input").checked = Boolean(body.include_input);
    this.show();
  }

  /** A clip to go on from, as if it had been chosen. */
  give(file) {
    const chosen = new DataTransfer();
    chosen.items.add(file);
    const task = field("task").value;
    if (task === "unconditional") field("task").value = this.facts.footage.tasks[0];
    field(task === "past" ? "behind" : "before").files = chosen.files;
    this.show();
  }

  /** Mark the field that the server complains about, or none. */
  blame(param, focus) {
    const which = param === "input_reference" && field("task").value === "past" ? "end_reference" : param;
    for (const input of document.querySelectorAll("#video-form [name]")) {
      const wrong = input.name === which;
      if (!wrong) input.removeAttribute("aria-invalid");
      else {
        input.setAttribute("aria-invalid", "true");
        input.closest("details")?.setAttribute("open", "");
        if (focus) input.focus();
      }
    }
  }
}
