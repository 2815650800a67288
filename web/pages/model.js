// model.js - a fine-tuned model: where it comes from, its checkpoints, how to take it elsewhere, and its end.

import * as api from "../lib/api.js";
import { callButton, copy } from "../lib/call.js";
import { confirm, toast } from "../lib/dialog.js";
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
  const path = `/v1/models/${encodeURIComponent(id)}`;
  const model = await api.get(path, { signal });
  document.title = `${visible(id)} \u2013 hone`;
  const checkpoints = model.job ? await checkpointsOf(model.job, signal) : [];
  const drop = h("button", { type: "button", class: "danger" }, "Delete");
  drop.addEventListener("click", async () => {
    const sure = await confirm({ title: "Delete this model?", text: h("p", {}, visible(id), " can be used no more. The job that made it, and its figures, stay."), action: "Delete", danger: true });
    if (!sure) return;
    await api.del(path);
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
      h("div", { class: "actions" }, try_, model.job && drop, callButton(() => ({ path, python: `print(client.models.retrieve(${JSON.stringify(id)}))` }))),
    ),
  );
  if (model.job) root.append(h("section", { class: "section" }, h("h2", {}, "Checkpoints"), checkpointTable(checkpoints)), exporter(id, checkpoints));
}

// A job that is gone has none that could be listed.
const checkpointsOf = (job, signal) =>
  api.all(`/v1/fine_tuning/jobs/${encodeURIComponent(job)}/checkpoints`, {}, 200).catch((e) => {
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
        cell: (c) => h("a", { class: "button quiet small", href: `#/playground?model=${encodeURIComponent(c.fine_tuned_model_checkpoint)}`, "aria-label": `Try the checkpoint of step ${c.step_number}` }, "Try"),
      },
    ],
    sort: { name: "step", down: true },
    empty: [h("h3", {}, "No checkpoints"), h("p", {}, "The job that made this model keeps none, or is gone.")],
  }).element;
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
