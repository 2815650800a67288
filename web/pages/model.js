// model.js - a fine-tuned model: where it comes from, its checkpoints, who may use them, how to take it elsewhere, and its end.

import * as api from "../lib/api.js";
import { uri } from "../lib/api.js";
import { callButton, copy } from "../lib/call.js";
import { confirm, dialog, errorBox, toast } from "../lib/dialog.js";
import { h, icon, put, visible } from "../lib/dom.js";
import { field, select } from "../lib/form.js";
import { number, timeElement } from "../lib/format.js";
import { table } from "../lib/table.js";

export const title = "Model";

const FORMATS = [
  ["peft", "Adapter for PEFT and vLLM"],
  ["safetensors", "Merged, for transformers"],
  ["gguf", "Merged, for llama.cpp (GGUF)"],
  ["gguf-lora", "Adapter for llama.cpp"],
];

export async function show(root, params) {
  const { id, signal, go } = params;
  const model = await api.get(uri`/v1/models/${id}`, { signal });
  document.title = `${visible(id)} \u2013 hone`;
  const checkpoints = model.job ? await checkpointsOf(model.job, signal) : [];
  const drop = h("button", { type: "button", class: "danger" }, "Delete");
  drop.addEventListener("click", async () => {
    const sure = await confirm({ title: "Delete this model?", text: h("p", {}, visible(id), " can be used no more. The job that made it, and its figures, stay."), action: "Delete", danger: true, call: callButton(() => ({ method: "DELETE", path: uri`/v1/models/${id}` })) });
    if (!sure) return;
    await api.del(uri`/v1/models/${id}`);
    toast("The model is deleted.");
    go("models");
  });
  const try_ = h("a", { class: "button primary", href: `#/playground?model=${encodeURIComponent(id)}` }, "Try in the playground");
  root.append(
    h("p", { class: "crumb" }, h("a", { href: "#/models" }, "Models")),
    h(
      "div",
      { class: "head" },
      h("div", {}, h("h1", { dir: "auto" }, visible(id)), h("p", { class: "lead" }, model.parent ? ["Made of ", visible(model.parent), ", "] : "A base model, here since ", timeElement(model.created), ".")),
      h("div", { class: "actions" }, try_, model.job && drop, callButton(() => ({ path: uri`/v1/models/${id}`, python: `print(client.models.retrieve(${JSON.stringify(id)}))` }))),
    ),
  );
  if (model.job) root.append(h("section", { class: "section" }, h("h2", {}, "Checkpoints"), checkpointTable(checkpoints)), exporter(id, checkpoints));
}

// A job that is gone has none that could be listed.
const checkpointsOf = (job, signal) =>
  api.all(uri`/v1/fine_tuning/jobs/${job}/checkpoints`, {}, 200).catch((e) => {
    if (e.status === 404 || e.status === 403) return [];
    throw e;
  });

const reward = (c) => c.metrics.full_valid_mean_reward ?? c.metrics.valid_mean_reward ?? c.metrics.train_mean_reward ?? null;
const loss = (c) => c.metrics.full_valid_loss ?? c.metrics.valid_loss ?? c.metrics.train_loss ?? null;

function checkpointTable(rows) {
  return table({
    caption: "Checkpoints",
    rows,
    columns: [
      { name: "name", label: "Name", head: true, grow: true, cell: (c) => h("span", { class: "mono", dir: "auto" }, visible(c.fine_tuned_model_checkpoint)) },
      { name: "step", label: "Step", number: true, sort: (c) => c.step_number, cell: (c) => c.step_number },
      rows.some((c) => reward(c) !== null) && { name: "reward", label: "Reward", number: true, sort: reward, cell: (c) => number(reward(c)) },
      rows.some((c) => loss(c) !== null) && { name: "loss", label: "Loss", number: true, sort: loss, cell: (c) => number(loss(c)) },
      { name: "created", label: "Saved", cell: (c) => timeElement(c.created_at) },
      {
        name: "do",
        label: "Do",
        hideLabel: true,
        actions: true,
        cell: (c) => [
          h("a", { class: "button quiet small", href: `#/playground?model=${encodeURIComponent(c.fine_tuned_model_checkpoint)}`, "aria-label": `Try the checkpoint of step ${c.step_number}` }, "Try"),
          h("button", { type: "button", class: "quiet small", "aria-label": `Share the checkpoint of step ${c.step_number}`, on: { click: () => share(c.fine_tuned_model_checkpoint) } }, "Share"),
        ],
      },
    ],
    sort: { name: "step", down: true },
    empty: [h("h3", {}, "No checkpoints"), h("p", {}, "The job that made this model keeps none, or is gone.")],
  }).element;
}

// ---- who else may use a checkpoint ----

// Admin keys alone share; to another key the refusal is told.
async function share(checkpoint) {
  const projects = await api.all("/v1/organization/projects");
  const names = new Map(projects.map((p) => [p.id, p.name]));
  const place = h("div", { class: "stack" });
  const wrong = h("div", {});
  const which = h("select", { id: "share-with" });
  const body = () => ({ project_ids: [which.value] });

  async function load() {
    const given = await api.all(uri`/v1/fine_tuning/checkpoints/${checkpoint}/permissions`);
    const has = new Set(given.map((g) => g.project_id));
    put(which, projects.filter((p) => !has.has(p.id)).map((p) => h("option", { value: p.id }, visible(p.name))));
    put(place, given.length > 0 ? h("ul", { class: "stack tight", "aria-label": "Projects that may use it" }, given.map(line)) : h("p", { class: "soft" }, "No other project may use it."));
  }

  function line(g) {
    const name = names.get(g.project_id) ?? g.project_id;
    const back = h("button", { type: "button", class: "quiet small", "aria-label": `Take it back from ${name}` }, "Take back");
    back.addEventListener("click", async () => {
      back.disabled = true;
      put(wrong);
      try {
        await api.del(uri`/v1/fine_tuning/checkpoints/${checkpoint}/permissions/${g.id}`);
        toast("The permission is taken back.");
        await load();
        which.focus();
      } catch (e) {
        back.disabled = false;
        put(wrong, errorBox(e));
      }
    });
    return h("li", { class: "bar" }, h("span", { dir: "auto" }, visible(name)), back);
  }

  await load();
  dialog({
    title: "Share this checkpoint",
    body: [
      h("p", { dir: "auto" }, "Another project of the organisation may use it for answers: ", h("span", { class: "mono" }, visible(checkpoint))),
      place,
      field("Share it with", which),
      wrong,
      h("div", {}, callButton(() => ({ method: "POST", path: uri`/v1/fine_tuning/checkpoints/${checkpoint}/permissions`, body: body() }))),
    ],
    actions: [
      { label: "Close" },
      {
        label: "Share",
        kind: "primary",
        run: async () => {
          if (!which.value) throw new Error("There is no other project: an admin makes one on the page Members.");
          await api.post(uri`/v1/fine_tuning/checkpoints/${checkpoint}/permissions`, body());
          toast("It is shared.");
          await load();
          return false;
        },
      },
    ],
  });
}

const quote = (text) => (/^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`);

function exporter(id, checkpoints) {
  const which = select([[id, "The model itself"], ...checkpoints.filter((c) => c.fine_tuned_model_checkpoint !== id).map((c) => [c.fine_tuned_model_checkpoint, `Step ${c.step_number}`])], id);
  const format = select(FORMATS, "peft");
  const code = h("pre", { class: "code", tabindex: "0", role: "region", "aria-label": "The command" });
  const command = () => `hone export --model ${quote(which.value)} --format ${format.value} --out exported --verify`;
  const say = () => put(code, command());
  which.addEventListener("change", say);
  format.addEventListener("change", say);
  say();
  return h(
    "section",
    { class: "section stack" },
    h("h2", {}, "Take it elsewhere"),
    h("p", { class: "soft" }, "On the server\u2019s machine this command writes files that other programs read, and proves that they compute the same."),
    h("div", { class: "fields" }, field("What", which), field("As", format)),
    code,
    h("p", { class: "actions" }, h("button", { type: "button", class: "quiet", on: { click: () => copy(command()) } }, icon("copy"), "Copy the command")),
  );
}
