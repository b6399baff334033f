// The form: what the model allows, what the user chose, and the request made of both.

import { $, h } from "./dom.js";

const NUMBERS = ["num_inference_steps", "guidance_scale", "reuse", "temperature", "choice_temperature", "top_k", "top_p", "full_first", "diffusion_steps", "diffusion_reuse"];
const WORDS = ["schedule", "guidance_schedule"];
const OPTIONS = [...NUMBERS, ...WORDS];
const CHIPS = 40; // more classes than this are suggested while typing only

export const drawSeed = () => crypto.getRandomValues(new Uint32Array(1))[0];

export class Params {
  constructor() {
    this.model = null;
    for (const name of ["num_inference_steps", "reuse"]) $(name).addEventListener("input", () => this.show());
    for (const name of ["num_inference_steps", "schedule", "reuse", "full_first"]) $(name).addEventListener("input", () => ($("plan").value = ""));
    $("prompt").addEventListener("input", () => this.show());
    $("dice").addEventListener("click", () => ($("seed").value = drawSeed()));
    $("reset").addEventListener("click", () => this.use(this.model));
  }

  get facts() {
    return this.model.maskserve;
  }

  /** Offer what `model` (of /v1/models) can do, with its defaults. */
  use(model) {
    if (!model) return;
    this.model = model;
    const { limits, defaults, guidable, classes, words } = this.facts;
    range("num_inference_steps", limits.min_steps, limits.max_steps);
    range("reuse", 0, limits.max_reuse);
    range("n", 1, limits.max_n);
    range("paint-n", 1, limits.max_n);
    $("guidance_scale").disabled = !guidable;
    $("reuse").disabled = limits.max_reuse === 0;
    for (const name of OPTIONS) {
      $(name).value = defaults[name] ?? "";
      $(name).closest(".field").hidden = !(name in defaults); // this model has no use for it
    }
    $("diffusion_steps").max = limits.max_diffusion_steps;
    $("plan").value = $("deadline_ms").value = "";
    $("priority").value = "normal";
    $("classes").replaceChildren(...classes.map((name) => h("option", { value: name })));
    const chip = (name) => h("button", { type: "button", onclick: () => this.pick(name) }, name);
    $("chips").replaceChildren(...(classes.length <= CHIPS ? [...classes, ...words.slice(0, CHIPS)].map(chip) : []));
    if (!$("prompt").value) $("prompt").value = classes[0] ?? words[0] ?? "";
    this.show();
  }

  /** A class is the whole prompt; a word comes and goes. */
  pick(name) {
    const said = this.said;
    const others = said.filter((word) => word !== name);
    if (this.facts.words.length) $("prompt").value = (others.length < said.length ? others : [...said, name]).join(" ");
    else $("prompt").value = name;
    this.show();
  }

  /** What chips stand for in the prompt. */
  get said() {
    const prompt = $("prompt").value.trim();
    return this.facts.words.length ? prompt.toLowerCase().split(/\s+/).filter(Boolean) : [prompt];
  }

  show() {
    $("steps-value").textContent = $("num_inference_steps").value;
    $("reuse-value").textContent = Number($("reuse").value) || "off";
    const said = this.model ? this.said : [];
    for (const chip of $("chips").children) chip.setAttribute("aria-pressed", said.includes(chip.textContent));
  }

  /** The request as the API takes it: the model's own defaults are left out, the seed never is. */
  read() {
    const body = { model: this.model.id, prompt: $("prompt").value.trim(), n: Number($("n").value), seed: seed() };
    const { defaults } = this.facts;
    const changed = (name) => name in defaults && $(name).value !== "" && $(name).value !== String(defaults[name]);
    for (const name of NUMBERS) if (changed(name)) body[name] = Number($(name).value);
    for (const name of WORDS) if (changed(name)) body[name] = $(name).value;
    if ($("plan").value.trim()) body.plan = $("plan").value.trim();
    if ($("priority").value !== "normal") body.priority = $("priority").value;
    if ($("deadline_ms").value) body.deadline_ms = Number($("deadline_ms").value);
    return body;
  }

  get strength() {
    return Number($("strength").value);
  }

  /** The form as a request had it. */
  write(body) {
    const { defaults } = this.facts;
    for (const name of OPTIONS) $(name).value = body[name] ?? defaults[name] ?? "";
    for (const name of ["prompt", "n", "seed", "plan", "deadline_ms"]) $(name).value = body[name] ?? "";
    $("priority").value = body.priority ?? "normal";
    this.show();
  }

  /** The request that made a picture, from the tags of its file. */
  fromTags(tags) {
    const body = { prompt: tags.prompt || $("prompt").value, n: tags.sample + 1, seed: String(tags.seed), plan: tags.plan };
    for (const name of OPTIONS) body[name] = tags.sampling[name];
    return body;
  }
}

/** Digits, as text where JavaScript's numbers end; anything else is for the server to refuse. */
function seed() {
  const text = $("seed").value.trim();
  if (text === "") return drawSeed();
  return /^\d+$/.test(text) && Number(text) <= Number.MAX_SAFE_INTEGER ? Number(text) : text;
}

function range(id, min, max) {
  $(id).min = min;
  $(id).max = max;
}

/** Mark the field that the server complains about, or none; `focus` moves there. */
export function blame(param, focus = false) {
  for (const field of document.querySelectorAll("#form [name]")) {
    const wrong = field.name === param;
    field.toggleAttribute("aria-invalid", wrong);
    if (!wrong) continue;
    field.setAttribute("aria-invalid", "true");
    field.closest("details")?.setAttribute("open", "");
    if (focus) field.focus();
  }
}
