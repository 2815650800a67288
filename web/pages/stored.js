// stored.js - answers that were kept (store: true): chat completions as a list; a response by its id, for the API lists none.

import * as api from "../lib/api.js";
import { callButton } from "../lib/call.js";
import { h, visible } from "../lib/dom.js";
import { field, input, select } from "../lib/form.js";
import { count, cut, timeElement } from "../lib/format.js";
import { table } from "../lib/table.js";

export const title = "Stored answers";

const PAGE = 50;

export async function show(root, params) {
  const { signal, query, setQuery, go } = params;
  const { data: known } = await api.get("/v1/models", { signal });
  const model = select([["", "All models"], ...known.map((m) => [m.id, m.id])], query.model ?? "");
  let rows = [];
  const list = table({
    caption: "Stored answers",
    columns: [
      { name: "text", label: "Answer", head: true, grow: true, cell: (c) => [h("a", { href: `#/stored/${encodeURIComponent(c.id)}`, dir: "auto" }, visible(cut(c.choices[0]?.message.content || "Without text", 120))), h("span", { class: "id" }, c.id)] },
      { name: "model", label: "Model", cell: (c) => h("span", { dir: "auto" }, visible(c.model)) },
      { name: "tokens", label: "Tokens", number: true, wide: true, cell: (c) => count(c.usage?.completion_tokens) },
      { name: "made", label: "Made", cell: (c) => timeElement(c.created) },
    ],
    empty: [h("h2", {}, "No answer is stored"), h("p", {}, "Those of the ", h("a", { href: "#/playground" }, "playground"), " are, and those that a program asks for with ", h("code", {}, "store: true"), ".")],
  });

  async function load(more) {
    const page = await api.page("/v1/chat/completions", { limit: PAGE, order: "desc", model: model.value, after: more ? rows.at(-1).id : undefined }, { signal });
    rows = more ? [...rows, ...page.data] : page.data;
    list.update(rows, { more: page.has_more ? () => load(true) : null });
  }

  model.addEventListener("change", () => {
    setQuery({ model: model.value });
    load(false);
  });
  const id = input({ placeholder: "resp_\u2026", autocomplete: "off", spellcheck: "false", required: true, maxlength: "128" });
  const form = h("form", { class: "filters", "aria-label": "Which answers" }, field("Of the model", model), field("One by its id", id), h("button", { type: "submit", class: "quiet" }, "Open"));
  form.addEventListener("submit", (e) => {
    e.preventDefault();
    go(`stored/${encodeURIComponent(id.value.trim())}`);
  });
  await load(false);
  root.append(
    h(
      "div",
      { class: "head" },
      h("div", {}, h("h1", {}, "Stored answers"), h("p", { class: "lead" }, "What models answered, kept with what they were asked: to be looked at, judged and learned from.")),
      h("div", { class: "actions" }, callButton(() => ({ path: "/v1/chat/completions", query: { model: model.value }, python: "for one in client.chat.completions.list():\n    print(one.id, one.choices[0].message.content)" }))),
    ),
    form,
    h("section", { class: "section", "aria-label": "Chat completions" }, list.element),
  );
}
