// new_job_settings.js - hyperparameters in plain words: what each does, what it is when it is left alone.
//
//   METHODS                        [{type, title, about, rows, example}]; rows: what a line of the file holds
//   settingsForm({type, hyper, hone, changed})   fields that write into hyper (the method's hyperparameters) and hone; empty: left to hone
//   answerForm({part, changed})    response_format and tools of a reinforcement job, written into part

import { h, icon, put } from "../lib/dom.js";
import { cut } from "../lib/format.js";
import { choice, field } from "./new_job_grader.js";

export const METHODS = [
  {
    type: "reinforcement",
    title: "By rewards",
    about: "The model answers, a grader rates what it answers, and what earned more becomes likelier. For tasks whose answers can be checked; a few dozen to a thousand cases.",
    rows: "Each line: messages that end with one of the user, and beside them whatever the grader compares with.",
    example: { messages: [{ role: "user", content: "Cataract: which organ? Say one word." }], answer: "eye" },
  },
  {
    type: "supervised",
    title: "By written answers",
    about: "The model learns to answer as the file does. For form and tone, and as a start where the model never gets anything right by itself.",
    rows: "Each line: messages that end with one of the assistant, or prompt and completion.",
    example: { messages: [{ role: "user", content: "Cataract: which organ?" }, { role: "assistant", content: "The eye." }] },
  },
  {
    type: "dpo",
    title: "By a better and a worse answer",
    about: "The model learns to prefer one of two answers. For taste: style, length, politeness.",
    rows: "Each line: input, preferred_output and non_preferred_output.",
    example: { input: { messages: [{ role: "user", content: "Which organ does a cataract affect?" }] }, preferred_output: [{ role: "assistant", content: "The eye." }], non_preferred_output: [{ role: "assistant", content: "It depends." }] },
  },
];

const RATE = { name: "learning_rate_multiplier", label: "Learning rate, times", by: "1", about: "More learns faster and forgets more; halve it where the curves jump.", step: "any" };
const SEEN = { name: "n_epochs", label: "Times through the file", whole: true };
const PLAIN = {
  reinforcement: [
    { name: "batch_size", label: "Cases a step", by: "8", about: "How many cases each update looks at. More is steadier and slower.", whole: true },
    { ...SEEN, by: "as many as 150 steps take", about: "How often each case is asked." },
    RATE,
    { name: "compute_multiplier", label: "Answers a case, times", by: "1", about: "More answers to each case find rare good ones, and take as much longer.", step: "any" },
    { name: "eval_interval", label: "Steps between validations", by: "a tenth of the run", about: "How often the validation file is asked.", whole: true },
    { name: "eval_samples", label: "Answers a validation case", by: "1", about: "More makes the validation curve less noisy.", whole: true },
    { name: "reasoning_effort", label: "Thinking", by: "default", about: "How long a model that thinks may do so before it answers.", options: ["", "default", "low", "medium", "high"] },
  ],
  supervised: [
    { name: "batch_size", label: "Rows a step", by: "0.2 % of the rows", about: "How many rows each update learns from.", whole: true },
    { ...SEEN, by: "3", about: "More learns the rows by heart." },
    RATE,
  ],
  dpo: [
    { name: "batch_size", label: "Pairs a step", by: "0.2 % of the rows", about: "How many pairs each update learns from.", whole: true },
    { ...SEEN, by: "3", about: "More learns the pairs by heart." },
    RATE,
    { name: "beta", label: "Beta", by: "0.1", about: "How dear it is to leave the model as it was: more changes it less.", step: "any" },
  ],
};
const STEPS = { name: "max_steps", label: "Steps at most", about: "Ends the job after so many updates, whatever the file\u2019s length.", whole: true };
const RANK = { name: "lora_rank", label: "Adapter rank", by: "32", about: "How much the model can change. Less needs less memory.", whole: true };
const SPEED = { name: "learning_rate", label: "Learning rate", by: "by the model\u2019s width", about: "Before the multiplier above.", step: "any" };
const OURS = {
  reinforcement: [
    { ...STEPS, by: "150, where nothing else says" },
    { name: "group_size", label: "Answers a case", by: "8 to 64, as fits", about: "Answers to the same case are compared with each other.", whole: true },
    { name: "max_tokens", label: "Longest answer, in tokens", by: "measured", about: "Left alone, hone measures how long answers must be to earn most.", whole: true },
    { name: "temperature", label: "Temperature", by: "1", about: "How freely answers are drawn while training.", step: "any" },
    RANK,
    SPEED,
  ],
  supervised: [{ ...STEPS, by: "none" }, RANK, SPEED],
  dpo: [{ ...STEPS, by: "none" }, RANK, { ...SPEED, by: "a tenth of that by the model\u2019s width" }],
};

function control(s, target, changed) {
  const put = (v) => {
    if (v === "") delete target[s.name];
    else target[s.name] = v;
    changed();
  };
  const now = target[s.name] === "auto" ? "" : target[s.name];
  if (s.options) return choice(s.options.map((o) => [o, o === "" ? `Left to hone (${s.by})` : o]), now ?? "", put);
  const input = h("input", { type: "number", min: "0", step: s.whole ? "1" : s.step, placeholder: "auto", value: now === undefined ? "" : String(now) });
  input.addEventListener("input", () => {
    const x = Number(input.value);
    if (input.value !== "" && Number.isFinite(x)) put(x);
    else put("");
  });
  return input;
}

const fields = (list, target, changed) => h("div", { class: "fields" }, list.map((s) => field(s.label, control(s, target, changed), s.options ? s.about : `${s.about} Left empty: ${s.by}.`)));

export function settingsForm({ type, hyper, hone, changed }) {
  const ours = OURS[type].some((s) => hone[s.name] !== undefined);
  return h(
    "div",
    { class: "stack" },
    h("p", { class: "soft" }, "All of these may be left empty: hone then takes what has worked best, or measures it."),
    fields(PLAIN[type], hyper, changed),
    h("details", { open: ours }, h("summary", {}, "More settings"), fields(OURS[type], hone, changed)),
  );
}

// ---- the form of answers ----

const SCHEMA = {
  type: "object",
  properties: { answer: { type: "string" }, why: { type: "string" } },
  required: ["answer", "why"],
  additionalProperties: false,
};

export function answerForm({ part, changed }) {
  const box = h("div", { class: "stack" });
  const wrong = h("p", { class: "hint bad", role: "alert" });
  const type = part.response_format?.type ?? "text";
  const kind = choice(
    [
      ["text", "Any text"],
      ["json_object", "JSON of any form"],
      ["json_schema", "JSON by a schema"],
    ],
    type,
    (to) => {
      if (to === "text") delete part.response_format;
      else part.response_format = to === "json_object" ? { type: to } : { type: to, json_schema: { name: "answer", strict: true, schema: SCHEMA } };
      changed();
      drawSchema();
    },
  );

  function drawSchema() {
    const f = part.response_format;
    const inner = f?.json_schema ?? f;
    if (f?.type !== "json_schema") return put(box);
    const text = h("textarea", { class: "mono", rows: 9, spellcheck: "false", value: JSON.stringify(inner.schema ?? SCHEMA, null, 2) });
    text.addEventListener("input", () => {
      try {
        inner.schema = JSON.parse(text.value);
        put(wrong);
        text.removeAttribute("aria-invalid");
        changed();
      } catch (e) {
        put(wrong, `This is no JSON yet: ${e.message}`);
        text.setAttribute("aria-invalid", "true");
      }
    });
    put(box, field("The schema", text, "The grader then reads parts of the answer as {{sample.output_json.KEY}}."), wrong);
  }

  drawSchema();
  return h("div", { class: "stack" }, field("An answer is", kind, "What is not of this form is never written: every answer can be read."), box, tools({ part, changed }));
}

function tools({ part, changed }) {
  const box = h("div", { class: "stack" });
  const text = (value, change, more) => h("input", { type: "text", autocomplete: "off", spellcheck: "false", dir: "auto", value: value ?? "", ...more, on: { input: (e) => change(e.target.value) } });
  const write = (tool, name) => (value) => {
    tool[name] = value;
    changed();
  };
  function draw() {
    put(
      box,
      h("p", { class: "soft" }, "Rows may offer tools to the model in \u201ctools\u201d. Named here, a tool is really called at its address while the model answers, where whoever runs this server allows it (--allow-request-addresses)."),
      (part.tools ?? []).map((t, i) =>
        h(
          "div",
          { class: "well fields" },
          field("Name of the function", text(t.name, write(t, "name"))),
          field("Address", text(t.server_url, write(t, "server_url"), { placeholder: "https://\u2026" })),
          h("div", { class: "actions" }, h("button", { type: "button", class: "quiet small", on: { click: () => drop(i) } }, icon("trash"), `Remove ${cut(t.name, 20) || "this tool"}`)),
        ),
      ),
      h("div", { class: "actions" }, h("button", { type: "button", class: "quiet", on: { click: add } }, icon("plus"), "Add a tool")),
    );
  }
  function add() {
    part.tools = [...(part.tools ?? []), { name: "", server_url: "" }];
    changed();
    draw();
  }
  function drop(i) {
    part.tools.splice(i, 1);
    if (part.tools.length === 0) delete part.tools;
    changed();
    draw();
  }
  draw();
  return h("details", { open: Boolean(part.tools?.length) }, h("summary", {}, "Tools that answer while the model does"), box);
}
