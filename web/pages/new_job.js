// new_job.js - a job put together without writing JSON: cases, method, model, grader, settings, check, start.
//
// What is put together is the body of POST /v1/fine_tuning/jobs; the form and the JSON beside it show the same object. It is kept in
// the tab (sessionStorage) until the job is started. ?from=ftjob-...: begins with what that job was. ?check=ftcheck-...: its check.

import * as api from "../lib/api.js";
import { uri } from "../lib/api.js";
import { callButton, pythonOf } from "../lib/call.js";
import { confirm, errorBox, toast } from "../lib/dialog.js";
import { $, h, put } from "../lib/dom.js";
import { cut, plural } from "../lib/format.js";
import { checkPanel } from "./new_job_check.js";
import { fieldsOf, fileBox } from "./new_job_files.js";
import { field, graderForm, template, trial } from "./new_job_grader.js";
import { METHODS, answerForm, settingsForm } from "./new_job_settings.js";

export const title = "New job";

const DRAFT = "hone.new-job";
const SHARED = new Set(["max_steps", "lora_rank", "lora_alpha", "learning_rate", "precision", "kv_cache"]); // of "hone": settings that every method has
const isObject = (v) => v !== null && typeof v === "object" && !Array.isArray(v);
const TYPES = METHODS.map((m) => m.type);

// ---- the object ----

// Without "method" the API takes a job for a supervised one.
function withMethod(job) {
  const { hyperparameters, ...rest } = job;
  return job.method === undefined ? { ...rest, method: { type: "supervised", supervised: isObject(hyperparameters) ? { hyperparameters } : {} } } : job;
}

// Everything that the form writes into is there; what is empty is left out again by `bodyOf`.
function whole(job) {
  const type = TYPES.includes(job.method?.type) ? job.method.type : "reinforcement";
  job.method = isObject(job.method) ? job.method : {};
  job.method.type = type;
  if (!isObject(job.method[type])) job.method[type] = {};
  const part = job.method[type];
  if (!isObject(part.hyperparameters)) part.hyperparameters = {};
  if (!isObject(job.hone)) job.hone = {};
  return job;
}

const EMPTY = (v) => v === undefined || v === null || v === "" || (isObject(v) && Object.keys(v).length === 0);

function bodyOf(job) {
  const { model, training_file, validation_file, method, hone, ...rest } = structuredClone(job);
  const part = { ...method[method.type] };
  if (EMPTY(part.hyperparameters)) delete part.hyperparameters;
  if (EMPTY(part.response_format)) delete part.response_format;
  const body = { model, training_file, validation_file, method: { type: method.type, [method.type]: part }, ...rest, hone };
  for (const name of ["validation_file", "hone", "suffix", "seed", "metadata", "integrations"]) if (EMPTY(body[name])) delete body[name];
  return body;
}

// What a job object of the API says of how it was made.
function bodyOfJob(job) {
  const { model, training_file, validation_file, method, seed, metadata, hone, user_provided_suffix: suffix } = job;
  return structuredClone({ model, training_file, validation_file: validation_file ?? undefined, method, suffix: suffix ?? undefined, seed, metadata: metadata ?? undefined, hone: hone ?? undefined });
}

function draft() {
  try {
    const kept = JSON.parse(sessionStorage.getItem(DRAFT) ?? "null");
    return isObject(kept) ? kept : null;
  } catch {
    return null;
  }
}

function keep(job) {
  try {
    if (job) sessionStorage.setItem(DRAFT, JSON.stringify(job));
    else sessionStorage.removeItem(DRAFT);
  } catch {
    // it is there until the page is left
  }
}

// ---- the page ----

export async function show(root, params) {
  const { signal } = params;
  const [from, models, files] = await Promise.all([
    params.query.from ? api.get(uri`/v1/fine_tuning/jobs/${params.query.from}`, { signal }) : null,
    api.all("/v1/models", {}, 1000).catch((e) => (e.status === 403 ? [] : Promise.reject(e))),
    api.page("/v1/files", { purpose: "fine-tune", limit: 1000 }, { signal }).then((p) => p.data),
  ]);
  const base = models.filter((m) => !m.id.startsWith("ft:"));
  const tuned = models.filter((m) => m.id.startsWith("ft:"));
  let job = whole(from ? bodyOfJob(from) : draft() ?? { model: base.length === 1 ? base[0].id : "" });
  const kept = {}; // parts of methods that were left
  const train = { id: job.training_file ?? "", look: null, error: null, table: null };
  const valid = { id: job.validation_file ?? "", look: null, error: null };
  const steps = h("div", { class: "steps" });
  const summary = h("aside", { class: "card pad stack summary", "aria-label": "The job so far" });
  const problems = h("div", { role: "alert" });
  const json = h("textarea", { id: "job-json", class: "mono", rows: 18, spellcheck: "false" });
  const jsonWrong = h("p", { class: "hint bad", role: "alert" });
  let known = ""; // the fields of rows that the grader's form was drawn for
  let refreshGrader = () => {};

  const part = () => job.method[job.method.type];
  const body = () => bodyOf(job);
  const check = checkPanel({ body, signal, changed: tell, remember: (id) => params.setQuery({ check: id, from: null }) });

  // Something in the job is another.
  function changed() {
    job.training_file = train.id;
    if (valid.id) job.validation_file = valid.id;
    else delete job.validation_file;
    keep(job);
    check.stale();
    if (document.activeElement !== json) writeJson();
    if (fieldsOf(train.look).join() !== known) refreshGrader();
    tell();
  }

  function writeJson() {
    json.value = JSON.stringify(body(), null, 2);
    put(jsonWrong);
    json.removeAttribute("aria-invalid");
  }

  function setMethod(type) {
    kept[job.method.type] = { part: part(), hone: job.hone };
    job.method = { type, [type]: kept[type]?.part ?? {} };
    // settings of reinforcement are refused by the other methods
    const shared = Object.fromEntries(Object.entries(job.hone).filter(([name]) => type === "reinforcement" || SHARED.has(name)));
    job.hone = { ...kept[type]?.hone, ...shared };
    whole(job);
    if (type === "reinforcement" && !part().grader) part().grader = template("string_check", fieldsOf(train.look)[0]);
    train.look = valid.look = null;
    draw();
    changed();
  }

  // ---- steps ----

  const boxes = () => {
    const known = METHODS.find((m) => m.type === job.method.type);
    const common = { files, method: () => job.method.type, changed, signal, switchMethod: setMethod, told: tell };
    const first = fileBox({ ...common, label: "Training file", name: "training", needed: true, state: train, about: known.rows, partner: () => second });
    const second = fileBox({ ...common, label: "Validation file", name: "validation", needed: false, state: valid, about: "Other cases of the same kind, which are measured and never learned. Not needed, but only it shows what was really learned." });
    if (!train.look) first.check();
    if (!valid.look) second.check();
    const example = h("details", {}, h("summary", {}, "What a line looks like"), h("pre", { class: "code" }, JSON.stringify(known.example)), h("p", { class: "soft small" }, "One case a line (JSON lines); other keys may stand in a row, too. A spreadsheet need not be made into this by hand: save it as CSV (UTF-8), and drop that."));
    return [first, second, example];
  };

  function methodStep() {
    return h(
      "fieldset",
      { class: "choices" },
      h("legend", { class: "sr-only" }, "Method"),
      METHODS.map((m) =>
        h(
          "label",
          { class: "choice" },
          h("input", { type: "radio", name: "method", value: m.type, id: `method-${m.type}`, checked: m.type === job.method.type, on: { change: () => (setMethod(m.type), $(`#method-${m.type}`, root)?.focus()) } }),
          h("span", {}, h("strong", {}, m.title), " ", h("span", { class: "mono soft" }, m.type), h("span", { class: "soft small about" }, m.about)),
        ),
      ),
    );
  }

  function modelStep() {
    const option = (m) => h("option", { value: m.id, selected: m.id === job.model }, cut(m.id, 90));
    const select = h(
      "select",
      { id: "model" },
      h("option", { value: "", selected: !job.model }, "Choose \u2026"),
      job.model && !models.some((m) => m.id === job.model) && h("option", { value: job.model, selected: true }, job.model),
      base.length > 0 && h("optgroup", { label: "Models of this server" }, base.map(option)),
      tuned.length > 0 && h("optgroup", { label: "Fine-tuned before" }, tuned.map(option)),
    );
    select.addEventListener("change", () => {
      job.model = select.value;
      changed();
    });
    const suffix = h("input", { type: "text", maxlength: "64", autocomplete: "off", spellcheck: "false", value: job.suffix ?? "", placeholder: "genes-1", on: { input: (e) => ((job.suffix = e.target.value), changed()) } });
    return h(
      "div",
      { class: "stack" },
      h("div", { class: "fields" }, field("Model", select, "What training begins with. A fine-tuned one is trained on."), field("A name for the result", suffix, "It becomes a part of the new model\u2019s name. Not needed.")),
      models.length === 0 && h("p", { class: "notice warn" }, "No model is here yet. On the server\u2019s machine, ", h("code", {}, "hone pull ORG/NAME"), " gets one, and ", h("code", {}, "hone import PATH"), " takes one that is on its disk."),
    );
  }

  function graderStep() {
    const place = h("div", { class: "stack" });
    const tried = h("div", {});
    const drawTrial = () => {
      const rows = (train.look?.data ?? []).map((r) => r.row).filter(isObject);
      const fields = fieldsOf(train.look);
      known = fields.join();
      put(tried, rows.length > 0 ? trial({ grader: part().grader, rows, fields, signal }) : h("p", { class: "soft" }, "Once a training file is chosen, the grader can be tried on its rows right here."));
    };
    const drawForm = () => {
      const fields = fieldsOf(train.look);
      put(
        place,
        graderForm({
          grader: part().grader,
          fields,
          models: models.map((m) => m.id),
          changed,
          replaced: (next) => {
            part().grader = next;
            drawForm();
            drawTrial();
            changed();
            $("select", place)?.focus();
          },
        }),
      );
    };
    if (!isObject(part().grader)) part().grader = template("string_check", fieldsOf(train.look)[0]);
    refreshGrader = () => {
      const fields = fieldsOf(train.look);
      const g = part().grader;
      // a template that nobody has touched reads the key that the rows have
      if (fields.length > 0 && JSON.stringify(g) === JSON.stringify(template(g.type)) && !fields.includes("answer")) part().grader = template(g.type, fields[0]);
      drawForm();
      drawTrial();
      if (document.activeElement !== json) writeJson();
    };
    drawForm();
    drawTrial();
    return h("div", { class: "stack" }, place, tried);
  }

  function jsonStep() {
    return h(
      "details",
      { class: "card pad", id: "as-json" },
      h("summary", {}, "The job as JSON"),
      h("div", { class: "stack" }, h("p", { class: "soft" }, "What is sent when the job is started. It may be changed here: the form follows."), h("label", { htmlFor: "job-json", class: "sr-only" }, "The job as JSON"), json, jsonWrong),
    );
  }

  json.addEventListener("input", () => {
    let next;
    try {
      next = JSON.parse(json.value);
    } catch (e) {
      put(jsonWrong, `This is no JSON yet: ${e.message}`);
      json.setAttribute("aria-invalid", "true");
      return;
    }
    if (!isObject(next)) {
      put(jsonWrong, "A job is an object: {\u201cmodel\u201d: \u2026}.");
      json.setAttribute("aria-invalid", "true");
      return;
    }
    put(jsonWrong);
    json.removeAttribute("aria-invalid");
    job = whole(withMethod(next));
    for (const [state, name] of [[train, "training_file"], [valid, "validation_file"]]) {
      const id = typeof job[name] === "string" ? job[name] : "";
      if (state.id !== id || state.look?.method !== job.method.type) Object.assign(state, { id, look: null, error: null });
    }
    draw();
    changed();
  });

  const step = (number, name, ...content) => h("section", { class: "step", "aria-labelledby": `step-${number}` }, h("h2", { id: `step-${number}`, tabindex: "-1" }, h("span", { class: "step-number", "aria-hidden": "true" }, String(number)), name), h("div", { class: "card pad stack" }, content));

  function draw() {
    const rl = job.method.type === "reinforcement";
    let n = 0;
    refreshGrader = () => {};
    put(
      steps,
      step(++n, "How it learns", methodStep()),
      step(++n, "The cases", boxes()),
      step(++n, "The model", modelStep()),
      rl && step(++n, "What a good answer is", graderStep()),
      step(
        ++n,
        "Settings",
        rl && h("details", { open: Boolean(part().response_format || part().tools) }, h("summary", {}, "The form of answers, and tools"), answerForm({ part: part(), changed })),
        settingsForm({ type: job.method.type, hyper: part().hyperparameters, hone: job.hone, changed }),
      ),
      step(++n, "Check before it starts", check),
    );
    writeJson();
    tell();
  }

  // ---- what is missing, and the start ----

  const bad = (state) => state.error ?? (state.look?.n_mistakes > 0 ? state.look : null);

  function missing() {
    const list = [];
    if (train.table?.open) list.push(["table-use", "Use the rows of the table, or leave it."]);
    else if (!job.training_file) list.push(["file-training", "Choose a training file."]);
    else if (train.error) list.push(["file-training", "The training file cannot be read."]);
    else if (bad(train)) list.push(["file-training", `The training file has ${plural(train.look.n_mistakes, "mistake")}: the job would fail.`]);
    if (job.validation_file && bad(valid)) list.push(["file-validation", "The validation file has mistakes: the job would fail."]);
    if (!job.model) list.push(["model", "Choose a model."]);
    return list;
  }

  const state = (good, words) => [h("span", { class: `chip ${good === true ? "good" : good === false ? "bad" : ""}` }, good === true ? "ready" : good === false ? "to do" : "not needed"), words];

  function tell() {
    const rl = job.method.type === "reinforcement";
    const list = missing();
    const has = (id) => !list.some(([at]) => at === id);
    const verdict = check.verdict();
    const fileWords = (s) => (s.look ? plural(s.look.n_rows, "row") : s.id ? "chosen" : "none");
    put(
      facts,
      [
        ["Method", METHODS.find((m) => m.type === job.method.type).title, true],
        ["Training file", train.table?.open ? "a table, not used yet" : fileWords(train), has("file-training") && has("table-use")],
        ["Validation file", fileWords(valid), job.validation_file ? has("file-validation") : null],
        ["Model", job.model ? cut(job.model, 40) : "none", has("model")],
        rl && ["Grader", part().grader?.type ?? "none", Boolean(part().grader)],
        ["Check", verdict === null ? "advised before the start" : verdict ? "it can learn" : "too little to learn from", verdict],
      ]
        .filter(Boolean)
        .map(([name, words, good]) => h("div", {}, h("dt", {}, name), h("dd", { dir: "auto" }, state(good, words)))),
    );
  }

  const facts = h("dl", { class: "so-far" });
  const begin = h("button", { type: "button", class: "primary", id: "start" }, "Start the job");
  begin.addEventListener("click", async () => {
    put(problems);
    const list = missing();
    if (list.length > 0) {
      const link = ([id, words]) => h("li", {}, h("button", { type: "button", class: "link", on: { click: () => $(`#${id}`, root)?.focus() } }, words));
      put(problems, h("div", { class: "notice error" }, h("p", {}, "The job cannot be started yet:"), h("ul", { class: "stack tight" }, list.map(link))));
      return;
    }
    if (check.verdict() === false && !(await confirm({ title: "Start it all the same?", text: "The check found too little to learn from. The job would take its time and hardly change the model.", action: "Start it" }))) return;
    begin.disabled = true;
    try {
      const made = await api.post("/v1/fine_tuning/jobs", body(), { signal });
      keep(null);
      toast("The job is started.");
      params.go(`jobs/${made.id}`);
    } catch (e) {
      if (e.name !== "AbortError") put(problems, errorBox(e));
      begin.disabled = false;
    }
  });

  const anew = h("button", { type: "button", class: "quiet" }, "Begin anew");
  anew.addEventListener("click", () => {
    keep(null);
    params.setQuery({ from: null, check: null });
    params.go("new-job");
  });

  put(
    summary,
    h("h2", {}, "The job so far"),
    facts,
    problems,
    h("div", { class: "actions" }, begin, callButton(() => jobCall(body(), files)), anew),
  );
  put(
    root,
    h("div", { class: "head" }, h("div", {}, h("h1", {}, from ? "The same again, with changes" : "New job"), h("p", { class: "lead" }, from ? `Everything is as it was in ${cut(from.id, 60)}; change what you like.` : "Bring cases, say what a good answer is, and let a model learn from its own attempts. Nothing starts before you say so."))),
    h("div", { class: "with-summary" }, h("div", { class: "stack" }, steps, jsonStep()), summary),
  );
  draw();
  if (from) {
    keep(job);
    params.setQuery({ from: null }); // loaded anew, the page has what was changed
  }
  if (params.query.check) check.follow(params.query.check).catch((e) => e.name !== "AbortError" && params.setQuery({ check: null }));
}

// ---- the call ----

function jobCall(body, files) {
  const { hone, ...plain } = body;
  const words = pythonOf(plain, 0).replace(/^\{\n/, "").replace(/,?\n\}$/, "");
  const named = words.replace(/^ {4}"(\w+)": /gm, "    $1=");
  const nameOf = (id) => files.find((f) => f.id === id)?.filename ?? id;
  const local = { ...body, training_file: nameOf(body.training_file), ...(body.validation_file ? { validation_file: nameOf(body.validation_file) } : {}) };
  return {
    method: "POST",
    path: "/v1/fine_tuning/jobs",
    body,
    python: `job = client.fine_tuning.jobs.create(\n${named},\n${hone ? `    extra_body={"hone": ${pythonOf(hone, 4)}},\n` : ""})\nprint(job.id)`,
    command: `cat > job.json <<'END'\n${JSON.stringify(local, null, 2)}\nEND\nhone check job.json\nhone train job.json`,
  };
}
