// The page: wires the form, the cards, the painter, the history and the engine view together.

import { ApiError, getJson, key } from "./api.js";
import { Card } from "./card.js";
import { $, announce, h } from "./dom.js";
import { EngineView } from "./engine.js";
import { legend } from "./grid.js";
import * as history from "./history.js";
import { Painter } from "./painter.js";
import { Params, blame } from "./params.js";
import { readTags } from "./png.js";
import { Run } from "./run.js";
import { snippet } from "./snippets.js";

const SHELF = 60;
const params = new Params();
const view = { overlay: $("overlay").value };
const cards = new Set();
let models = [];

// -- models

const modelOf = (id) => models.find((model) => model.id === id);

async function loadModels() {
  const { data } = await getJson("/v1/models");
  models = data.filter((model) => model.maskserve.modality === "image");
  $("model").replaceChildren(...models.map((model) => h("option", { value: model.id }, model.id)));
  if (models.length) choose(models[0].id);
  else problem(new ApiError(0, { message: "This server has no image model." }));
}

function choose(id) {
  const model = modelOf(id);
  if (!model) return;
  $("model").value = id;
  params.use(model);
  const { sizes, tokens, licence, noncommercial } = model.maskserve;
  $("model-note").textContent = `${sizes[sizes.length - 1]} pixels, ${tokens} tokens, ${licence}${noncommercial ? ", non-commercial" : ""}`;
}

// -- runs

const acts = {
  edit: (run, tile) => {
    const frame = tile.frames[tile.frames.length - 1];
    painter.open(frame.bitmap, run.model, { id: tile.final.id, prompt: run.body.prompt ?? "", n: run.body.n });
  },
  vary: (run, tile) => {
    const { prompt, ...rest } = { ...run.body, strength: params.strength, seed: params.read().seed };
    delete rest.plan;
    const before = tile.frames[tile.frames.length - 1].bitmap;
    begin(new Run("variation", rest, run.model, { id: tile.final.id, file: tile.final.file, before }));
  },
  reuse: (run) => {
    choose(run.model.id);
    params.write({ ...run.body, seed: run.body.seed?.rawJSON ?? run.body.seed });
    announce("The form has the settings of that run");
    $("prompt").focus();
  },
  copy: (run) => showSnippet(run),
  remove: (card) => {
    card.run.cancel();
    card.element.remove();
    cards.delete(card);
    $("prompt").focus();
  },
};

function begin(run) {
  problem(null);
  const card = new Card(run, view, acts);
  cards.add(card);
  $("empty").hidden = true;
  $("cards").prepend(card.element);
  run.addEventListener("made", ({ detail }) => remember(run, detail));
  run.start().then(() => {
    if (run.error) failed(run.error);
  });
}

function generate() {
  blame(null);
  if (!params.model) return;
  begin(new Run("generation", params.read(), params.model));
}

function failed(error) {
  if (error.status === 401) askKey(error.message);
  else problem(error);
}

function problem(error) {
  $("problem").hidden = !error;
  $("problem").textContent = error ? error.message : "";
  blame(error?.param ?? null);
}

const painter = new Painter(({ prompt, n, source }) => {
  $("painter").close();
  const { plan, ...body } = { ...params.read(), prompt, n, model: painter.model.id };
  begin(new Run("edit", body, painter.model, source));
});

// -- history

async function remember(run, made) {
  await history.keep({ file: made.file, title: run.body.prompt ?? run.kind, id: made.id, model: run.model.id });
  await showHistory();
}

async function showHistory() {
  const pictures = (await history.all()).slice(0, SHELF);
  for (const image of $("shelf").querySelectorAll("img")) URL.revokeObjectURL(image.src);
  $("history").hidden = pictures.length === 0;
  $("shelf").replaceChildren(
    ...pictures.map((picture) =>
      h("li", {}, h("button", { type: "button", title: picture.title, "aria-label": `Open ${picture.title}`, onclick: () => openFile(picture.file, picture.id) },
        h("img", { src: URL.createObjectURL(picture.file), alt: "" }))),
    ),
  );
}

/** A picture made here brings back its settings; every picture can be painted over. */
async function openFile(file, id = null) {
  try {
    const tags = readTags(await file.arrayBuffer());
    const bitmap = await createImageBitmap(file);
    if (tags && modelOf(tags.model)) choose(tags.model);
    if (tags && modelOf(tags.model) && tags.task === "generate") {
      params.write(params.fromTags(tags));
      const which = tags.sample ? ` It was picture ${tags.sample + 1} of its request.` : "";
      const other = tags.checkpoint === params.facts.checkpoint ? "" : " The checkpoint has changed since: the picture will differ.";
      announce("Seed and settings are in the form; Generate makes it again");
      note(`Seed ${tags.seed} and its settings are in the form: Generate makes the same picture again.${which}${other}`);
    }
    painter.open(bitmap, params.model, { id, prompt: tags?.prompt ?? $("prompt").value, n: 2 });
  } catch (error) {
    problem(new ApiError(0, { message: error instanceof ApiError ? error.message : "That file is no picture this browser can read." }));
  }
}

function note(text) {
  $("empty").hidden = false;
  $("empty").textContent = text;
}

// -- copy as

let snippetRun = null;

function showSnippet(run) {
  snippetRun = run;
  updateSnippet();
  $("snippet-dialog").showModal();
}

function updateSnippet() {
  const language = document.querySelector("[name=lang]:checked").value;
  $("snippet").textContent = snippet(language, snippetRun, location.origin, Boolean(key.get()));
}

// -- the rest of the page

function askKey(why = "") {
  $("key-note").textContent = why || "Only servers started with keys need one. It stays in this tab.";
  $("key").value = key.get();
  if (!$("key-dialog").open) $("key-dialog").showModal();
}

const engine = new EngineView(() => {});

function show(tab) {
  for (const name of ["images", "engine"]) {
    const chosen = name === tab;
    $(`tab-${name}`).setAttribute("aria-selected", chosen);
    $(`tab-${name}`).tabIndex = chosen ? 0 : -1;
    $(`view-${name}`).hidden = !chosen;
  }
  if (tab === "engine") engine.start();
  else engine.stop();
}

async function watchHealth() {
  let text = "the server does not answer";
  try {
    const { status, running, waiting } = await (await fetch("/health")).json();
    text = status === "ok" ? (running || waiting ? `${running} running, ${waiting} waiting` : "idle") : status;
  } catch {
    // said by the text
  }
  if ($("health").textContent !== text) $("health").textContent = text;
  setTimeout(watchHealth, document.hidden ? 10000 : 2000);
}

function overlayChanged() {
  view.overlay = $("overlay").value;
  $("legend").replaceChildren(...legend(view.overlay));
  for (const card of cards) card.redraw();
}

function zoomed() {
  $("cards").style.setProperty("--zoom", `${$("zoom").value}px`);
  for (const card of cards) card.redraw();
}

$("model").addEventListener("change", () => choose($("model").value));
$("form").addEventListener("submit", (event) => {
  event.preventDefault();
  generate();
});
$("overlay").addEventListener("change", overlayChanged);
$("zoom").addEventListener("input", zoomed);
$("open-key").addEventListener("click", () => askKey());
$("key-form").addEventListener("submit", (event) => {
  if (event.submitter?.value !== "save") return;
  key.set($("key").value.trim());
  start();
});
$("theme").addEventListener("click", () => {
  const dark = getComputedStyle(document.documentElement).getPropertyValue("color-scheme") === "dark" || (!document.documentElement.dataset.theme && matchMedia("(prefers-color-scheme: dark)").matches);
  document.documentElement.dataset.theme = localStorage.theme = dark ? "light" : "dark";
});
for (const name of ["images", "engine"]) $(`tab-${name}`).addEventListener("click", () => show(name));
document.querySelector("[role=tablist]").addEventListener("keydown", (event) => {
  if (event.key !== "ArrowLeft" && event.key !== "ArrowRight") return;
  const next = $("tab-images").tabIndex === 0 ? "engine" : "images";
  show(next);
  $(`tab-${next}`).focus();
});
document.addEventListener("keydown", (event) => {
  if (document.querySelector("dialog[open]")) return;
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) {
    event.preventDefault();
    generate();
  } else if (event.key === "Escape") for (const card of cards) if (!card.run.over) card.run.cancel();
});
$("open-file").addEventListener("click", () => $("file").click());
$("file").addEventListener("change", () => {
  if ($("file").files[0]) openFile($("file").files[0]);
  $("file").value = "";
});
let inside = 0;
document.addEventListener("dragenter", () => document.body.classList.toggle("dropping", ++inside > 0));
document.addEventListener("dragleave", () => document.body.classList.toggle("dropping", --inside > 0));
document.addEventListener("dragover", (event) => event.preventDefault());
document.addEventListener("drop", (event) => {
  event.preventDefault();
  inside = 0;
  document.body.classList.remove("dropping");
  if (event.dataTransfer.files[0]) openFile(event.dataTransfer.files[0]);
});
$("forget").addEventListener("click", async () => {
  await history.forget();
  await showHistory();
});
for (const radio of document.querySelectorAll("[name=lang]")) radio.addEventListener("change", updateSnippet);
$("snippet-copy").addEventListener("click", async () => {
  await navigator.clipboard.writeText($("snippet").textContent);
  announce("Copied");
});

async function start() {
  try {
    await loadModels();
  } catch (error) {
    failed(error);
  }
}

if (localStorage.theme) document.documentElement.dataset.theme = localStorage.theme;
overlayChanged();
zoomed();
showHistory();
watchHealth();
start();
