// eval_new.js - which models are asked which file's questions, and who judges.

import * as api from "../lib/api.js";
import { uri } from "../lib/api.js";
import { callButton } from "../lib/call.js";
import { errorBox } from "../lib/dialog.js";
import { h, put, visible } from "../lib/dom.js";
import { field, input, models, select, textarea } from "../lib/form.js";
import { bytes } from "../lib/format.js";

export const title = "New eval";

const GRADERS = [
  ["equal", "The answer equals the reference"],
  ["ilike", "The answer holds the reference"],
  ["similar", "The answer is like the reference (fuzzy match)"],
  ["json", "A grader of my own, as JSON"],
];
const MOST_BYTES = 200e6;

export async function show(root, params) {
  const { signal, go, query } = params;
  const [known, files] = await Promise.all([models(signal), api.page("/v1/files", { limit: 200 }, { signal })]);
  const usable = files.data.filter((f) => f.purpose !== "fine-tune-results");
  const head = h("div", { class: "head" }, h("div", {}, h("p", { class: "crumb" }, h("a", { href: "#/evals" }, "Evals")), h("h1", {}, "New eval")));
  if (usable.length === 0) {
    root.append(head, h("div", { class: "empty" }, h("h2", {}, "There is no file to ask from"), h("p", {}, "Upload a test file first: JSON lines, one case a line."), h("a", { class: "button primary", href: "#/files" }, "Go to the files")));
    return;
  }
  const f = fields(known, usable, query);
  const wrong = h("div", {});
  const start = h("button", { type: "submit", class: "primary" }, "Start");
  const form = h("form", { class: "stack wide-form" }, f.element, wrong, h("p", { class: "actions" }, start, callButton(() => ({ method: "POST", path: "/v1/evals", body: f.evalBody() }))));
  form.addEventListener("submit", async (e) => {
    e.preventDefault();
    put(wrong);
    start.disabled = true;
    put(start, "Starting\u2026");
    try {
      const made = await begin(f, signal);
      go(`evals/${made.id}`);
    } catch (error) {
      put(wrong, errorBox(error));
    }
    put(start, "Start");
    start.disabled = false;
  });
  root.append(head, form);
}

function fields(known, files, query) {
  const name = input({ maxlength: "512", required: true, value: "Comparison" });
  const file = select(files.map((x) => [x.id, `${x.filename} (${bytes(x.bytes)})`]), query.file ?? files[0].id);
  const list = [...known.tuned, ...known.bases, ...known.checkpoints];
  const boxes = list.map((m, i) => h("input", { type: "checkbox", value: m.id, checked: query.model ? m.id === query.model : i === 0 }));
  const prompt = input({ value: "item.messages", required: true });
  const kind = select(GRADERS, "equal");
  const reference = input({ value: "{{item.answer}}", required: true });
  const own = textarea({ rows: "8", spellcheck: "false", class: "mono" });
  const ownField = field("The grader", own, "As jobs have it: {\"type\": \"python\", ...}. Several in a list.");
  const referenceField = field("Reference", reference, "A template over the row: {{item.answer}}.");
  const isRanked = h("input", { type: "checkbox" });
  const ranked = input({ value: "sample.output_json.genes" });
  const right = input({ value: "item.answer" });
  const among = input({ placeholder: "item.candidates" });
  const ranking = h("div", { class: "fields", hidden: true }, field("The ranking is in", ranked, "A list in the answer\u2019s JSON, or: text"), field("The right one", right), field("Of a text: the names", among));
  const samples = input({ type: "number", min: "1", max: "64", value: "1" });
  const most = input({ type: "number", min: "1", value: "1024" });
  const temperature = input({ type: "number", min: "0", max: "2", step: "any", value: "1" });
  const seed = input({ type: "number", min: "0", value: "1" });
  const effort = select([["", "As the model has it"], ...["none", "minimal", "low", "medium", "high"].map((e) => [e, e])], "");
  const showKind = () => {
    ownField.hidden = kind.value !== "json";
    referenceField.hidden = kind.value === "json";
  };
  kind.addEventListener("change", showKind);
  isRanked.addEventListener("change", () => (ranking.hidden = !isRanked.checked));
  showKind();
  const criteria = () => (kind.value === "json" ? [JSON.parse(own.value)].flat() : [grader(kind.value, reference.value)]);
  return {
    element: h(
      "div",
      { class: "stack" },
      h("div", { class: "card pad fields" }, field("Name", name), field("Test file", file), field("What is asked", prompt, "A path in the row (item.messages, item.question) or a text with {{item.question}}.")),
      h("fieldset", { class: "card pad stack" }, h("legend", { class: "sr-only" }, "Models"), h("h2", {}, "Models"), h("div", { class: "checks" }, list.map((m, i) => h("label", { class: "check" }, boxes[i], h("span", { dir: "auto" }, visible(m.id)))))),
      h("div", { class: "card pad stack" }, h("h2", {}, "Who judges"), h("div", { class: "fields" }, field("Grader", kind), referenceField), ownField, h("label", { class: "check" }, isRanked, "Answers are rankings: count top 1, top 5 and anywhere"), ranking),
      h("div", { class: "card pad stack" }, h("h2", {}, "How it is asked"), h("div", { class: "fields" }, field("Answers to each question", samples, "More than one gives pass@k."), field("Most tokens", most), field("Temperature", temperature), field("Seed", seed), field("Reasoning effort", effort))),
    ),
    files,
    file: () => files.find((x) => x.id === file.value),
    models: () => boxes.filter((b) => b.checked).map((b) => b.value),
    samples: () => Math.max(1, Math.min(64, Number(samples.value) || 1)),
    evalBody: () => ({
      name: name.value,
      data_source_config: { type: "custom", item_schema: { type: "object" }, include_sample_schema: true },
      testing_criteria: criteria(),
      ...(isRanked.checked ? { metadata: { ranked: ranked.value, reference: right.value, ...(among.value ? { among: among.value } : {}) } } : {}),
    }),
    source: (fileId, model, i) => ({
      type: "completions",
      model,
      source: { type: "file_id", id: fileId },
      input_messages: /^item\.[\w.]+$/.test(prompt.value.trim()) ? { type: "item_reference", item_reference: prompt.value.trim() } : { type: "template", template: [{ role: "user", content: prompt.value }] },
      sampling_params: { temperature: Number(temperature.value), max_completion_tokens: Number(most.value), seed: Number(seed.value) + i, ...(effort.value ? { reasoning_effort: effort.value } : {}) },
    }),
  };
}

function grader(kind, reference) {
  const common = { name: "grader", input: "{{sample.output_text}}", reference };
  if (kind === "similar") return { type: "text_similarity", ...common, evaluation_metric: "fuzzy_match", pass_threshold: 0.8 };
  return { type: "string_check", ...common, operation: kind === "equal" ? "eq" : "ilike" };
}

async function begin(f, signal) {
  const chosen = f.models();
  if (chosen.length === 0) throw new Error("Choose at least one model.");
  let body;
  try {
    body = f.evalBody();
  } catch (e) {
    throw new Error(`The grader is no JSON: ${e.message}`);
  }
  const fileId = await withItems(f.file(), f.files, signal);
  const made = await api.post("/v1/evals", body);
  try {
    for (const model of chosen) for (let i = 0; i < f.samples(); i++) await api.post(uri`/v1/evals/${made.id}/runs`, { name: model, metadata: { sample: String(i) }, data_source: f.source(fileId, model, i) });
  } catch (e) {
    await api.del(uri`/v1/evals/${made.id}`).catch(() => {}); // nothing half begun stays
    throw e;
  }
  return made;
}

// Rows of evals are {"item": {...}}, or those to train on. Others are kept once more with that around them, which is found again the next time.
async function withItems(file, files, signal) {
  if (file.bytes > MOST_BYTES) return file.id;
  const lines = (await api.text(uri`/v1/files/${file.id}/content`, { signal })).split("\n").filter((line) => line.trim() !== "");
  const rows = lines.map((line, i) => {
    try {
      return JSON.parse(line);
    } catch {
      throw new Error(`${file.filename}, line ${i + 1}: this is no JSON.`);
    }
  });
  if (rows.every((row) => row !== null && typeof row === "object" && (row.item === undefined ? Array.isArray(row.messages) : typeof row.item === "object"))) return file.id;
  const content = rows.map((item) => JSON.stringify({ item }) + "\n").join("");
  const blob = new Blob([content]);
  const name = file.filename.replace(/(\.jsonl?)?$/, ".items.jsonl");
  for (const old of files.filter((x) => x.filename === name && x.bytes === blob.size)) if ((await api.text(uri`/v1/files/${old.id}/content`, { signal })) === content) return old.id;
  const form = new FormData();
  form.append("purpose", "evals");
  form.append("file", blob, name);
  return (await api.upload("/v1/files", form, { signal })).id;
}
