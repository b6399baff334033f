// The form of the sound view: what the model allows, what the user chose, and the request made of both.

import { $, h } from "./dom.js";
import { drawSeed } from "./params.js";

const NUMBERS = ["num_inference_steps", "guidance_scale", "guidance_end", "guidance_share", "temperature", "top_k", "top_p", "reuse", "full_first", "head_start", "rescoring"];
const WORDS = ["span_arrangement", "span_scoring"];
const CHIPS = 60;
const field = (name) => $(`s-${name}`);

export class SoundForm {
  constructor() {
    this.model = null;
    for (const name of ["num_inference_steps", "duration"]) field(name).addEventListener("input", () => this.show());
    field("num_inference_steps").addEventListener("input", () => (field("codebook_steps").value = ""));
    field("prompt").addEventListener("input", () => this.show());
    $("s-dice").addEventListener("click", () => (field("seed").value = drawSeed()));
    $("s-reset").addEventListener("click", () => this.use(this.model));
  }

  get facts() {
    return this.model.maskserve;
  }

  use(model) {
    if (!model) return;
    this.model = model;
    const { limits, defaults, words, sound } = this.facts;
    Object.assign(field("num_inference_steps"), { min: limits.min_steps, max: Math.min(limits.max_steps, 2 * defaults.num_inference_steps) });
    Object.assign(field("duration"), { min: Math.ceil(sound.least_seconds * 10) / 10, max: sound.most_seconds, step: 0.01, value: sound.most_seconds });
    field("n").max = limits.max_n;
    for (const name of [...NUMBERS, ...WORDS]) {
      field(name).value = defaults[name] ?? "";
      field(name).closest("label").hidden = !(name in defaults);
    }
    field("cooling").checked = defaults.cooling;
    for (const name of ["deadline_ms", "codebook_steps"]) field(name).value = "";
    field("loop").checked = false;
    $("s-words").replaceChildren(...words.map((name) => h("option", { value: name })));
    const chip = (name) => h("button", { type: "button", onclick: () => this.pick(name) }, name);
    $("s-chips").replaceChildren(...words.slice(0, CHIPS).map(chip));
    if (!field("prompt").value) field("prompt").value = words[0] ?? "";
    this.show();
  }

  pick(name) {
    const said = this.said, others = said.filter((word) => word !== name);
    field("prompt").value = (others.length < said.length ? others : [...said, name]).join(" ");
    this.show();
  }

  get said() {
    return field("prompt").value.trim().toLowerCase().split(/\s+/).filter(Boolean);
  }

  show() {
    $("s-steps-value").textContent = field("num_inference_steps").value;
    $("s-duration-value").textContent = `${Number(field("duration").value).toFixed(2)} s`;
    const said = this.model ? this.said : [];
    for (const chip of $("s-chips").children) chip.setAttribute("aria-pressed", said.includes(chip.textContent));
  }

  /** The request as the API takes it: the model's own defaults are left out, the seed never is. */
  read() {
    const text = field("seed").value.trim();
    const seed = text === "" ? drawSeed() : /^\d+$/.test(text) && Number(text) <= Number.MAX_SAFE_INTEGER ? Number(text) : text;
    const body = { model: this.model.id, prompt: field("prompt").value.trim(), n: Number(field("n").value), seed };
    const { defaults, sound } = this.facts;
    if (Number(field("duration").value) < sound.most_seconds) body.duration = Number(field("duration").value);
    for (const name of NUMBERS) if (field(name).value !== "" && field(name).value !== String(defaults[name])) body[name] = Number(field(name).value);
    for (const name of WORDS) if (field(name).value !== defaults[name]) body[name] = field(name).value;
    if (field("cooling").checked !== defaults.cooling) body.cooling = field("cooling").checked;
    if (field("loop").checked) body.loop = true;
    const shares = field("codebook_steps").value.split(/[\s,+]+/).filter(Boolean);
    if (shares.length) {
      body.codebook_steps = shares.map(Number);
      delete body.num_inference_steps;
    }
    if (field("deadline_ms").value) body.deadline_ms = Number(field("deadline_ms").value);
    return body;
  }

  /** The form as a request had it. */
  write(body) {
    const { defaults, sound } = this.facts;
    for (const name of [...NUMBERS, ...WORDS]) field(name).value = name in defaults ? (body[name] ?? defaults[name]) : "";
    for (const name of ["prompt", "n", "seed", "deadline_ms"]) field(name).value = body[name] ?? "";
    field("codebook_steps").value = body.codebook_steps?.join(", ") ?? "";
    field("duration").value = body.duration ?? sound.most_seconds;
    field("cooling").checked = body.cooling ?? defaults.cooling;
    field("loop").checked = Boolean(body.loop);
    this.show();
  }

  /** Mark the field that the server complains about, or none. */
  blame(param, focus) {
    for (const input of document.querySelectorAll("#sound-form [name]")) {
      const wrong = input.name === param;
      if (!wrong) input.removeAttribute("aria-invalid");
      else {
        input.setAttribute("aria-invalid", "true");
        input.closest("details")?.setAttribute("open", "");
        if (focus) input.focus();
      }
    }
  }
}
