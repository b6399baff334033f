// The page: wires the form, the cards, the painter, the history and the engine view together.

import { ApiError, getJson, key } from "./api.js";
import { Card } from "./card.js";
import { $, announce, h } from "./dom.js";
import { EngineView } from "./engine.js";
import { legend } from "./grid.js";
import * as history from "./history.js";
import { Painter } from "./painter.js";
import { Params, blame, drawSeed } from "./params.js";
import { readTags } from "./png.js";
import { Run } from "./run.js";
import { snippet } from "./snippets.js";
import { soundSnippet } from "./soundsnippets.js";
import { SoundView } from "./soundview.js";
import { filesOf, videoSnippet } from "./videosnippets.js";
import { VideoView } from "./videoview.js";

const CARDS = 40; // older ones leave the page, their pictures stay in the history
const params = new Params();
const view = { overlay: $("overlay").value };
const cards = new Set();
let models = [];
let lost = false;

// -- models

const modelOf = (id) => models.find((model) => model.id === id);

/** The choice and the form stay as they are where the model is still there. */
async function loadModels() {
  const { data } = await getJson("/v1/models");
  sounds.use(data.filter((model) => model.maskserve.modality === "audio"));
  videos.use(data.filter((model) => model.maskserve.modality === "video"));
  models = data.filter((model) => model.maskserve.modality === "image");
  $("model").replaceChildren(...models.map((model) => h("option", { value: model.id }, model.id)));
  const kept = modelOf(params.model?.id);
  if (kept) $("model").value = kept.id;
  else if (models.length) choose(models[0].id);
  if (!models.length) problem(new ApiError(0, { message: "This server has no image model." }));
  if (!models.length && shown() === "images") show(sounds.models.length ? "sound" : videos.models.length ? "video" : "images");
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
    if (run.model.id !== params.model?.id) choose(run.model.id); // the painter uses the form's settings
    const frame = tile.frames[tile.frames.length - 1];
    painter.open(frame.bitmap, run.model, { id: tile.final.id, prompt: run.body.prompt ?? "", n: run.tiles.length });
  },
  vary: async (run, tile) => {
    const { plan: _, ...body } = { ...run.body, strength: params.strength, seed: drawSeed() };
    const before = await createImageBitmap(tile.frames[tile.frames.length - 1].bitmap);
    begin(new Run("variation", body, run.model, { id: tile.final.id, file: tile.final.file, before }));
  },
  reuse: (run) => {
    choose(run.model.id);
    params.write(run.body);
    announce("The form has the settings of that run");
    $("prompt").focus();
  },
  again: async (run) => {
    const before = run.source?.before ? await createImageBitmap(run.tiles[0].frames[0].bitmap) : null;
    begin(new Run(run.kind, run.body, run.model, run.source && { ...run.source, before }));
  },
  copy: (run) => showSnippet(run),
  remove: (card) => {
    dismiss(card);
    $("prompt").focus();
  },
};

/** `refused` hears, instead of the form, of what the server says before it has taken the request. */
function begin(run, refused = problem) {
  problem(null);
  const card = new Card(run, view, acts);
  cards.add(card);
  $("empty").hidden = true;
  $("cards").prepend(card.element);
  for (const old of cards) if (cards.size > CARDS && old.run.over) dismiss(old);
  run.addEventListener("made", ({ detail }) => remember(run, detail));
  run.start().then(() => {
    if (run.error?.status === 401) askKey(run.error.message);
    else if (run.error && !run.begun) refused(run.error, card);
  });
}

function dismiss(card) {
  card.remove();
  cards.delete(card);
}

function generate() {
  if (params.model) begin(new Run("generation", params.read(), params.model));
  else start();
}

function problem(error) {
  $("problem").hidden = !error;
  $("problem").textContent = error ? error.message : "";
  blame(error?.param ?? null, Boolean(error) && !document.querySelector("dialog[open]"));
}

const painter = new Painter(({ prompt, n, source }) => {
  const { plan: _, ...body } = { ...params.read(), prompt, n, model: painter.model.id };
  const run = new Run("edit", body, painter.model, source);
  run.addEventListener("change", () => run.begun && painter.busy && painter.close());
  begin(run, (error, card) => {
    painter.complain(error.message);
    dismiss(card);
  });
});

// -- history

async function remember(run, made) {
  const title = `${run.body.prompt ?? run.kind}, seed ${run.body.seed}`;
  const picture = { file: made.file, title, id: made.id, model: run.model.id };
  $("shelf").prepend(onShelf(picture));
  $("history").hidden = false;
  await history.keep(picture);
}

async function showHistory() {
  const pictures = await history.all();
  $("history").hidden = pictures.length === 0;
  $("shelf").replaceChildren(...pictures.map(onShelf));
}

function onShelf(picture) {
  const image = h("img", { alt: "" });
  image.src = URL.createObjectURL(picture.file);
  image.onload = () => URL.revokeObjectURL(image.src);
  const open = () => openFile(picture.file, picture);
  return h("li", {}, h("button", { type: "button", title: picture.title, "aria-label": `Open ${picture.title}`, onclick: open }, image));
}

/** A picture made here brings back its settings; every picture can be painted over. */
async function openFile(file, { id = null, model = null } = {}) {
  let bitmap;
  try {
    bitmap = await createImageBitmap(file);
  } catch {
    problem(new ApiError(0, { message: "That file is no picture this browser can read." }));
    return;
  }
  const tags = readTags(await file.arrayBuffer());
  const known = modelOf(tags?.model ?? model);
  if (known && known !== params.model) choose(known.id);
  const paint = () => painter.open(bitmap, params.model, { id, prompt: tags?.prompt ?? $("prompt").value, n: 2 });
  if (!tags || !known) {
    if (params.model) paint();
    return;
  }
  params.write(params.fromTags(tags));
  if ($("opened-picture").src) URL.revokeObjectURL($("opened-picture").src);
  $("opened-picture").src = URL.createObjectURL(file);
  $("opened-note").textContent = whatCameBack(tags);
  $("opened-paint").onclick = paint;
  $("opened-paint").hidden = !known.maskserve.tasks.includes("edit");
  $("opened").hidden = false;
  $("opened").scrollIntoView({ block: "nearest" });
}

function whatCameBack(tags) {
  if (tags.checkpoint !== params.facts.checkpoint) return `Seed ${tags.seed} and its settings are in the form. The checkpoint has changed since: the picture will differ.`;
  if (tags.task !== "generate") return `Seed ${tags.seed} and its settings are in the form. It was made from another picture (${tags.task}), which is not in the file.`;
  const which = tags.sample ? ` It was picture ${tags.sample + 1} of its request.` : "";
  return `Seed ${tags.seed} and its settings are in the form: Generate makes the same picture again.${which}`;
}

// -- copy as

let snippetRun = null;

function showSnippet(run) {
  snippetRun = run;
  offerFiles(run);
  updateSnippet();
  $("snippet-dialog").showModal();
}

let links = [];

const SNIPPETS = { image: snippet, audio: soundSnippet, video: videoSnippet };
const GIVEN = {
  image: ({ source }) => ({ "image.png": source?.file, "mask.png": source?.mask }),
  audio: ({ source }) => ({ "sound.wav": source?.file }),
  video: filesOf,
};

/** The files that a run was made of. */
function offerFiles(run) {
  for (const link of links) URL.revokeObjectURL(link);
  const given = GIVEN[run.medium.noun](run);
  const files = Object.entries(given).filter(([, file]) => file);
  links = files.map(([, file]) => URL.createObjectURL(file));
  $("snippet-files").hidden = files.length === 0;
  $("snippet-files").replaceChildren("Save ", ...files.flatMap(([name], at) => [h("a", { href: links[at], download: name }, name), " "]));
}

function updateSnippet() {
  const language = document.querySelector("[name=lang]:checked").value;
  const write = SNIPPETS[snippetRun.medium.noun];
  $("snippet").textContent = write(language, snippetRun, location.origin, Boolean(key.get()));
}

// -- the rest of the page

function askKey(why = "") {
  $("key-note").textContent = why || "Only servers started with keys need one. It stays in this tab.";
  $("key").value = key.get();
  if (!$("key-dialog").open) $("key-dialog").showModal();
}

const engine = new EngineView((error) => askKey(error.message));
const sounds = new SoundView({ askKey, copy: showSnippet });
const videos = new VideoView({ askKey, copy: showSnippet });
const TABS = ["images", "sound", "video", "engine"];

function show(tab) {
  for (const name of TABS) {
    const chosen = name === tab;
    $(`tab-${name}`).setAttribute("aria-selected", chosen);
    $(`tab-${name}`).tabIndex = chosen ? 0 : -1;
    $(`view-${name}`).hidden = !chosen;
  }
  if (tab === "engine") engine.start();
  else engine.stop();
  if (tab === "images") redraw();
  if (tab === "sound") sounds.redraw();
  if (tab === "video") videos.redraw();
}

const shown = () => TABS.find((name) => $(`tab-${name}`).tabIndex === 0);

function redraw() {
  if (!$("view-images").hidden) for (const card of cards) card.redraw();
}

async function watchHealth() {
  let text = "the server does not answer";
  try {
    const { status, running, waiting } = await (await fetch("/health")).json();
    if (lost) start();
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
  redraw();
}

function zoomed() {
  $("cards").style.setProperty("--zoom", `${$("zoom").value}px`);
  redraw();
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
  problem(null);
  start();
  show(shown());
});
$("theme").addEventListener("click", () => {
  const dark = getComputedStyle(document.documentElement).getPropertyValue("color-scheme") === "dark" || (!document.documentElement.dataset.theme && matchMedia("(prefers-color-scheme: dark)").matches);
  document.documentElement.dataset.theme = localStorage.theme = dark ? "light" : "dark";
});
for (const name of TABS) $(`tab-${name}`).addEventListener("click", () => show(name));
document.querySelector("[role=tablist]").addEventListener("keydown", (event) => {
  if (event.key !== "ArrowLeft" && event.key !== "ArrowRight") return;
  const tabs = TABS.filter((name) => !$(`tab-${name}`).hidden);
  const by = event.key === "ArrowRight" ? 1 : tabs.length - 1;
  const next = tabs[(tabs.indexOf(shown()) + by) % tabs.length];
  show(next);
  $(`tab-${next}`).focus();
});
document.addEventListener("keydown", (event) => {
  if (document.querySelector("dialog[open]")) return;
  if (event.defaultPrevented || event.isComposing) return;
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) {
    event.preventDefault();
    if (!event.repeat) ({ sound: sounds, video: videos }[shown()] ?? { generate }).generate();
  } else if (event.key === "Escape" && !event.target.closest?.("input, select")) {
    for (const card of cards) if (!card.run.over) card.run.cancel();
    sounds.cancel();
    videos.cancel();
  }
});
$("open-file").addEventListener("click", () => $("file").click());
$("file").addEventListener("change", () => {
  if ($("file").files[0]) openFile($("file").files[0]);
  $("file").value = "";
});
const FILM = /^video\/|\.(mkv|zip)$/i;
let inside = 0;
document.addEventListener("dragenter", () => document.body.classList.toggle("dropping", ++inside > 0));
document.addEventListener("dragleave", () => document.body.classList.toggle("dropping", --inside > 0));
const ownsDrops = (event) => event.target.closest?.("input[type=file]");
document.addEventListener("dragover", (event) => ownsDrops(event) || event.preventDefault());
document.addEventListener("drop", (event) => {
  if (!ownsDrops(event)) event.preventDefault();
  inside = 0;
  document.body.classList.remove("dropping");
  const file = ownsDrops(event) ? null : event.dataTransfer.files[0];
  if (file?.type.startsWith("audio/")) {
    show("sound");
    sounds.open(file);
  } else if (file && FILM.test(`${file.type} ${file.name}`)) {
    show("video");
    videos.open(file);
  } else if (file) openFile(file);
});
$("forget").addEventListener("click", async () => {
  if (!confirm("Forget every picture of the history in this browser?")) return;
  await history.forget();
  await showHistory();
});
for (const radio of document.querySelectorAll("[name=lang]")) radio.addEventListener("change", updateSnippet);
$("snippet-copy").addEventListener("click", async () => {
  $("snippet-copy").textContent = (await copied($("snippet"))) ? "Copied" : "Select it and copy by hand";
  setTimeout(() => ($("snippet-copy").textContent = "Copy"), 2000);
});

/** Browsers keep the clipboard from pages that came over plain HTTP from another machine. */
async function copied(element) {
  try {
    await navigator.clipboard.writeText(element.textContent);
    return true;
  } catch {
    getSelection().selectAllChildren(element);
    return document.execCommand("copy");
  }
}

async function start() {
  lost = false;
  try {
    await loadModels();
  } catch (error) {
    lost = error.status === 0; // asked again once /health answers
    if (error.status === 401) askKey(error.message);
    else problem(error);
  }
}

if (localStorage.theme) document.documentElement.dataset.theme = localStorage.theme;
new ResizeObserver(redraw).observe($("cards"));
new ResizeObserver(() => sounds.redraw()).observe($("s-cards"));
new ResizeObserver(() => videos.redraw()).observe($("v-cards"));
overlayChanged();
zoomed();
showHistory();
watchHealth();
start();
