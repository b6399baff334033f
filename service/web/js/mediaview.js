// A view of the page: a form, its models, and the cards of what was asked for.

import { $, h } from "./dom.js";

export class MediaView {
  /**
   * page: { askKey(why), copy(run) }; tab: the id of its tab; prefix: of its elements' ids; form: knows `model`, `use` and
   * `blame`; Card: of a run and `acts`; most: cards that are kept. A medium sets `acts` and says what its models are in `noted`.
   */
  constructor(page, { tab, prefix, form, Card, most }) {
    Object.assign(this, { page, tab, form, Card, most, models: [], cards: new Set(), acts: {} });
    this.part = (name) => $(`${prefix}-${name}`);
    this.part("model").addEventListener("change", () => this.choose(this.part("model").value));
    $(`${tab}-form`).addEventListener("submit", (event) => {
      event.preventDefault();
      this.generate();
    });
    this.part("open").addEventListener("click", () => this.part("file").click());
    this.part("file").addEventListener("change", () => {
      if (this.part("file").files[0]) this.open(this.part("file").files[0]);
      this.part("file").value = "";
    });
  }

  /** models: of /v1/models, those of its medium. */
  use(models) {
    this.models = models;
    this.part("model").replaceChildren(...models.map((model) => h("option", { value: model.id }, model.id)));
    $(`tab-${this.tab}`).hidden = models.length === 0;
    const kept = models.find((model) => model.id === this.form.model?.id);
    if (kept) this.part("model").value = kept.id;
    else if (models.length) this.choose(models[0].id);
  }

  choose(id) {
    const model = this.models.find((one) => one.id === id);
    if (!model) return;
    this.part("model").value = id;
    this.form.use(model);
    const { licence, noncommercial } = model.maskserve;
    this.part("note").textContent = `${this.noted(model.maskserve)}, ${licence}${noncommercial ? ", non-commercial" : ""}`;
  }

  begin(run) {
    this.problem(null);
    const card = new this.Card(run, this.acts);
    this.cards.add(card);
    this.part("empty").hidden = true;
    this.part("cards").prepend(card.element);
    for (const old of this.cards) if (this.cards.size > this.most && old.run.over) this.dismiss(old);
    run.start().then(() => {
      if (run.error?.status === 401) this.page.askKey(run.error.message);
      else if (run.error && !run.begun) this.problem(run.error);
    });
  }

  dismiss(card) {
    card.remove();
    this.cards.delete(card);
  }

  cancel() {
    for (const card of this.cards) if (!card.run.over) card.run.cancel();
  }

  redraw() {
    for (const card of this.cards) card.redraw();
  }

  problem(error) {
    this.part("problem").hidden = !error;
    this.part("problem").textContent = error ? error.message : "";
    this.form.blame(error?.param ?? null, Boolean(error) && !document.querySelector("dialog[open]"));
  }
}
