// evals.js - what is measured: each eval is a grader over a test file; its runs are models that were asked.

import * as api from "../lib/api.js";
import { uri } from "../lib/api.js";
import { callButton } from "../lib/call.js";
import { confirm, toast } from "../lib/dialog.js";
import { h, icon, visible } from "../lib/dom.js";
import { timeElement } from "../lib/format.js";
import { table } from "../lib/table.js";

export const title = "Evals";

export async function show(root, params) {
  const { signal } = params;
  let rows = [];
  const list = table({
    caption: "Evals",
    columns: [
      { name: "name", label: "Name", head: true, grow: true, sort: (e) => e.name, cell: (e) => [h("a", { href: `#/evals/${encodeURIComponent(e.id)}`, dir: "auto" }, visible(e.name || "Without a name")), h("span", { class: "id" }, e.id)] },
      { name: "graders", label: "Graders", cell: (e) => h("span", { dir: "auto" }, visible(e.testing_criteria.map((c) => c.name).join(", "))) },
      { name: "made", label: "Made", sort: (e) => e.created_at, cell: (e) => timeElement(e.created_at) },
      { name: "do", label: "Do", hideLabel: true, actions: true, cell: (e) => h("button", { type: "button", class: "bare", title: "Delete", "aria-label": `Delete ${e.name}`, on: { click: () => remove(e) } }, icon("trash")) },
    ],
    empty: [h("h2", {}, "Nothing is measured yet"), h("p", {}, "Ask one or more models all questions of a test file, let a grader judge the answers, and see which model is better, and how sure that is."), h("a", { class: "button primary", href: "#/evals/new" }, "New eval")],
  });

  async function load(more) {
    const page = await api.page("/v1/evals", { order: "desc", limit: 50, after: more ? rows.at(-1).id : undefined }, { signal });
    rows = more ? [...rows, ...page.data] : page.data;
    list.update(rows, { more: page.has_more ? () => load(true) : null });
  }

  async function remove(e) {
    if (!(await confirm({ title: "Delete this eval?", text: h("p", {}, visible(e.name), " and all of its runs will be gone for good."), action: "Delete", danger: true, call: callButton(() => ({ method: "DELETE", path: uri`/v1/evals/${e.id}` })) }))) return;
    await api.del(uri`/v1/evals/${e.id}`);
    toast("The eval is deleted.");
    await load(false);
  }

  await load(false);
  root.append(
    h(
      "div",
      { class: "head" },
      h("div", {}, h("h1", {}, "Evals"), h("p", { class: "lead" }, "Models and checkpoints over a test file, side by side.")),
      h("div", { class: "actions" }, rows.length > 0 && h("a", { class: "button primary", href: "#/evals/new" }, icon("plus"), "New eval"), callButton(() => ({ path: "/v1/evals", python: "for one in client.evals.list():\n    print(one.id, one.name)", command: "hone eval" }))),
    ),
    list.element,
  );
}
