// models.js - what can be trained and used: the base models in the store, and what jobs made of them.

import * as api from "../lib/api.js";
import { callButton } from "../lib/call.js";
import { h, visible } from "../lib/dom.js";
import { models } from "../lib/form.js";
import { bytes, plural, timeElement } from "../lib/format.js";
import { table } from "../lib/table.js";

export const title = "Models";

export const address = (id) => `#/models/${encodeURIComponent(id)}`;
const play = (id) => h("a", { class: "button quiet small", href: `#/playground?model=${encodeURIComponent(id)}`, "aria-label": `Try ${id}` }, "Try");

export async function show(root, params) {
  const { signal } = params;
  const [{ bases, tuned }, machine] = await Promise.all([models(signal), api.get("/v1/machine", { signal }).catch(() => null)]);
  const sizes = new Map((machine?.models ?? []).map((m) => [m.id, m.bytes]));
  root.append(
    h(
      "div",
      { class: "head" },
      h("div", {}, h("h1", {}, "Models"), h("p", { class: "lead" }, `${plural(bases.length, "base model")}, ${plural(tuned.length, "fine-tuned one")}.`)),
      h("div", { class: "actions" }, callButton(() => ({ path: "/v1/models", python: "for model in client.models.list():\n    print(model.id)", command: "hone models" }))),
    ),
    h("section", { class: "section" }, h("h2", {}, "Fine-tuned"), tunedTable(tuned)),
    h("section", { class: "section" }, h("h2", {}, "Base models"), baseTable(bases, sizes)),
  );
}

function tunedTable(tuned) {
  return table({
    caption: "Fine-tuned models",
    rows: tuned,
    columns: [
      { name: "id", label: "Name", head: true, grow: true, sort: (m) => m.id, cell: (m) => h("a", { href: address(m.id), dir: "auto" }, visible(m.id)) },
      { name: "parent", label: "Made of", sort: (m) => m.parent, cell: (m) => visible(m.parent) },
      { name: "created", label: "Made", sort: (m) => m.created, cell: (m) => timeElement(m.created) },
      { name: "do", label: "Do", hideLabel: true, actions: true, cell: (m) => play(m.id) },
    ],
    empty: [h("h3", {}, "Nothing is fine-tuned yet"), h("p", {}, "A job makes a model of a base, a file of cases and a grader. When it succeeds, the model stands here.")],
  }).element;
}

function baseTable(bases, sizes) {
  return table({
    caption: "Base models",
    rows: bases,
    columns: [
      { name: "id", label: "Name", head: true, grow: true, sort: (m) => m.id, cell: (m) => visible(m.id) },
      sizes.size > 0 && { name: "size", label: "Size", number: true, sort: (m) => sizes.get(m.id), cell: (m) => bytes(sizes.get(m.id)) },
      { name: "created", label: "Here since", sort: (m) => m.created, cell: (m) => timeElement(m.created) },
      { name: "do", label: "Do", hideLabel: true, actions: true, cell: (m) => play(m.id) },
    ],
    empty: [h("h3", {}, "The store has no model"), h("p", {}, "On the server\u2019s machine, ", h("code", {}, "hone pull ORG/NAME"), " fetches one and ", h("code", {}, "hone import PATH"), " copies one that is there.")],
  }).element;
}
