// new_job_table.js - a table becomes the files of a job: what the model is asked, the right answer, rows kept back for validation.
//
//   openTable(file)       promise of a panel's state; throws a sentence where the file is no table
//   tablePanel({state, method, signal, use, close})
//        an element. use({train, valid}, place) takes Files (valid may be null), tells in place how far it is, and throws where that fails;
//        close() is called where the table is left. What was chosen stays in state, so the panel may be drawn anew, by another method, too
//
// All of it happens in the browser. Only the first rows are ever elements.

import * as api from "../lib/api.js";
import { callButton } from "../lib/call.js";
import { errorBox, sentence } from "../lib/dialog.js";
import { $, h, icon, put, visible } from "../lib/dom.js";
import { rowView } from "../lib/file_rows.js";
import { bytes, count, cut, plural } from "../lib/format.js";
import { MOST_BYTES, SEPARATORS, readTable, separatorOf, textOf } from "../lib/table_file.js";
import { TRAIN, VALID, guess, keysOf, lineOf, linesOf, plan, textWith } from "../lib/table_rows.js";
import { choice, field, writers } from "./new_job_grader.js";

const SHOWN_ROWS = 5;
const SHOWN_COLUMNS = 30;
const SHOWN_MISTAKES = 10;
const SETTLED_MS = 300; // after the last change the rows are counted anew

// ---- the state ----

async function readAs(name, text, separator) {
  const table = await readTable(text, separator);
  const { asked, answer, worse } = guess(table);
  return { name, text, separator, table, answer, worse, prompt: `{{${keysOf(table.heads, answer)[asked]}}}`, system: "", share: 20, seed: 1, leaveOut: false, open: true };
}

export async function openTable(file) {
  if (file.size > MOST_BYTES) throw new Error(`The table has ${bytes(file.size)}, and ${bytes(MOST_BYTES)} at most are read in a browser: a program makes larger files (docs/TUTORIAL.md).`);
  const text = textOf(new Uint8Array(await file.arrayBuffer()));
  return readAs(file.name, text, separatorOf(text, file.name));
}

// What plan(), lineOf() and linesOf() go by.
function howOf(state, method) {
  const { heads } = state.table;
  const keys = keysOf(heads, state.answer);
  const system = state.system.trim() === "" ? null : textWith(state.system, heads, keys);
  return { method, keys, prompt: textWith(state.prompt, heads, keys), system, answer: state.answer, worse: state.worse, share: state.share / 100, seed: state.seed };
}

const named = (names) => names.map((name) => `{{${cut(visible(name), 40)}}}`).join(", ");

// What is wrong with a text, or "".
function textProblem(text, template, answer) {
  if (text.trim() === "") return "Nothing is asked yet.";
  if (template.unknown.length > 0) return `No column is named ${named(template.unknown)}: the buttons write the names that there are.`;
  if (template.used.length === 0) return "Every row would be asked the same: put a column in.";
  return answer >= 0 && template.used.includes(answer) ? "This shows the model the right answer: take that column out." : "";
}

// The first reason not to make files: [words, the name of the control].
function reason(state, how, made) {
  const asked = textProblem(state.prompt, how.prompt, how.answer);
  if (asked) return [asked, "prompt"];
  if (how.system?.unknown.length > 0) return [`No column is named ${named(how.system.unknown)}.`, "system"];
  if (how.method !== "reinforcement" && how.answer < 0) return ["Say which column holds the answer.", "answer"];
  if (how.method === "dpo" && how.worse < 0) return ["Say which column holds the worse answer.", "worse"];
  if (how.method === "dpo" && how.worse === how.answer) return ["The better and the worse answer are the same column.", "worse"];
  if (!(state.share >= 0 && state.share <= 90)) return ["0 to 90 % can be kept back.", "share"];
  if (!(state.seed === state.seed >>> 0)) return ["A seed is a whole number from 0 to 4294967295.", "seed"];
  if (!made) return null;
  if (made.n_mistakes > 0 && !state.leaveOut) return [`The table has ${plural(made.n_mistakes, "row")} with a mistake: mend it and choose it again, or leave them out.`, "leave"];
  if (made.n_train === 0) return ["No row is left to train on.", "prompt"];
  return null;
}

// ---- the panel ----

export function tablePanel({ state, method, signal, use, close }) {
  const box = h("section", { class: "well stack", "aria-label": "The table" });
  const wrong = h("div", { role: "alert" });
  const cells = h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "The first rows of the table" });
  const faults = h("div", {});
  const preview = h("div", { class: "card pad stack" });
  const status = h("p", { role: "status" });
  const place = h("div", {});
  const asked = h("p", { class: "hint bad", role: "alert" });
  let controls = {};
  let faultsShown = "";
  let turn = 0;
  let timer = 0;

  // Something was changed: the first row at once, all of them soon.
  function changed() {
    const how = howOf(state, method);
    const problem = textProblem(state.prompt, how.prompt, how.answer);
    put(wrong);
    put(asked, problem);
    if (problem) controls.prompt.setAttribute("aria-invalid", "true");
    else controls.prompt.removeAttribute("aria-invalid");
    showPreview(how);
    turn++;
    clearTimeout(timer);
    timer = setTimeout(countRows, SETTLED_MS);
  }

  function showPreview(how) {
    const first = state.table.rows.findIndex((_, i) => !state.table.flaws[i]);
    const ready = first >= 0 && (method === "reinforcement" || how.answer >= 0) && (method !== "dpo" || how.worse >= 0);
    const known = { ...how, prompt: shown(how.prompt), system: how.system && shown(how.system) };
    if (ready) put(preview, rowShown(JSON.parse(lineOf(state.table.rows[first], known))));
    else put(preview, h("p", { class: "soft" }, first < 0 ? "No row has as many cells as there are columns." : "Choose the column of the answer."));
  }

  // What the model and the grader look at first; the row's other keys folded.
  function rowShown(row) {
    if (method !== "reinforcement") return rowView(row);
    const { messages, answer, ...others } = row;
    const open = $("details", preview)?.open ?? false;
    const some = Object.fromEntries(Object.entries(others).slice(0, SHOWN_COLUMNS));
    return [
      rowView(answer === undefined ? { messages } : { messages, answer }),
      h("details", { open }, h("summary", {}, "Its other keys, which a grader may read"), h("div", { class: "stack" }, rowView(some))),
    ];
  }

  // A name that is no column stands there as nothing while it is typed.
  const shown = (template) => ({ ...template, parts: template.parts.map((part) => (part === -1 ? "" : part)) });

  async function planned(how) {
    const mine = turn;
    return plan(state.table, { ...how, share: Number.isFinite(how.share) ? how.share : 0, prompt: shown(how.prompt) }, () => mine === turn && !signal.aborted);
  }

  async function countRows() {
    const made = await planned(howOf(state, method));
    if (!made) return;
    showFaults(made);
    const out = made.n_mistakes > 0 ? `, ${count(made.n_mistakes)} left out` : "";
    const words = `${plural(made.n_train, "row")} to train on, ${count(made.n_valid)} kept back${out}.`;
    if (status.textContent !== words) put(status, words); // or it would be read out again
  }

  function showFaults(made) {
    const now = JSON.stringify([made.mistakes, made.n_mistakes]);
    if (now === faultsShown) return;
    faultsShown = now;
    if (made.n_mistakes === 0) return put(faults);
    const leave = (controls.leave = h("input", { type: "checkbox", checked: state.leaveOut, on: { change: (e) => ((state.leaveOut = e.target.checked), put(wrong)) } }));
    put(
      faults,
      h(
        "div",
        { class: "notice warn stack" },
        h("p", {}, h("strong", {}, `${plural(made.n_mistakes, "mistake")} in ${plural(state.table.rows.length, "row")}. `), "Mend the table and choose it again, or leave these rows out."),
        h("ul", { class: "stack tight" }, made.mistakes.slice(0, SHOWN_MISTAKES).map((m) => h("li", {}, h("strong", {}, `Line ${count(m.line)}`), `: ${sentence(m.words)}`))),
        made.n_mistakes > SHOWN_MISTAKES && h("p", {}, `And ${count(made.n_mistakes - SHOWN_MISTAKES)} more.`),
        h("label", { class: "check" }, leave, `Leave ${made.n_mistakes === 1 ? "this row" : `these ${count(made.n_mistakes)} rows`} out`),
      ),
    );
  }

  function showCells() {
    const { heads, rows, lines } = state.table;
    const keys = keysOf(heads, state.answer);
    const some = heads.slice(0, SHOWN_COLUMNS);
    const cell = (text) => h("td", { dir: "auto" }, cut(visible((text ?? "").trim()), 120));
    const head = (name, i) => h("th", { scope: "col", dir: "auto" }, cut(visible(name), 40) || "(no name)", h("span", { class: "id" }, method === "reinforcement" ? `item.${keys[i]}` : keys[i]));
    const row = (r, i) => h("tr", {}, h("th", { scope: "row", class: "num" }, count(lines[i])), some.map((_, k) => cell(r[k])));
    put(
      cells,
      h(
        "table",
        { class: "sheet" },
        h("caption", { class: "sr-only" }, "The first rows of the table"),
        h("thead", {}, h("tr", {}, h("th", { scope: "col", class: "num" }, "Line"), some.map(head))),
        h("tbody", {}, rows.slice(0, SHOWN_ROWS).map(row)),
      ),
    );
  }

  // ---- what is chosen ----

  const area = (name, rows) => h("textarea", { rows, dir: "auto", spellcheck: "false", value: state[name], on: { input: (e) => ((state[name] = e.target.value), changed()) } });
  const figure = (name, more) => h("input", { type: "number", step: "1", value: String(state[name]), ...more, on: { input: (e) => ((state[name] = e.target.value === "" ? NaN : Number(e.target.value)), changed()) } });

  function columnChoice(name, none) {
    const options = state.table.heads.map((head, i) => [String(i), cut(visible(head), 60) || `Column ${i + 1}`]);
    return choice([["-1", none], ...options], String(state[name]), (to) => {
      state[name] = Number(to);
      draw();
      controls[name].focus();
    });
  }

  function answerFields() {
    if (method === "dpo")
      return [
        field("Which column holds the better answer", (controls.answer = columnChoice("answer", "Choose \u2026"))),
        field("Which column holds the worse answer", (controls.worse = columnChoice("worse", "Choose \u2026"))),
      ];
    if (method === "supervised") return field("Which column holds the answer", (controls.answer = columnChoice("answer", "Choose \u2026")), "The model learns to answer so.");
    return field("Which column holds the right answer", (controls.answer = columnChoice("answer", "None: the grader needs none")), "A grader reads it as item.answer, and every other column as it says above.");
  }

  async function readAnew(separator) {
    put(wrong);
    try {
      Object.assign(state, await readAs(state.name, state.text, separator));
      draw();
      controls.separator.focus();
    } catch (e) {
      put(wrong, errorBox(e));
    }
  }

  function draw() {
    const { heads, rows } = state.table;
    const keys = keysOf(heads, state.answer);
    const texts = keys.filter((_, i) => i !== state.answer && !(method === "dpo" && i === state.worse)).slice(0, SHOWN_COLUMNS).map((key) => `{{${key}}}`);
    const separator = choice(SEPARATORS, state.separator, readAnew);
    controls = { separator, prompt: area("prompt", 4), system: area("system", 2), share: figure("share", { min: "0", max: "90" }), seed: figure("seed", { min: "0" }) };
    faultsShown = "";
    showCells();
    const begin = h("button", { type: "button", class: "primary", id: "table-use", on: { click: () => run(begin, (files) => use(files, place)) } }, icon("upload"), "Use these rows");
    const save = h("button", { type: "button", class: "quiet", on: { click: () => run(save, download) } }, icon("download"), "Download");
    put(
      box,
      h(
        "div",
        { class: "bar" },
        h("h3", { dir: "auto" }, `${cut(visible(state.name), 60)}: ${plural(rows.length, "row")}, ${plural(heads.length, "column")}`),
        h("button", { type: "button", class: "bare", "aria-label": "Leave the table", title: "Leave the table", on: { click: close } }, icon("close")),
      ),
      cells,
      h("p", { class: "small soft" }, `Below each head stands the key that ${method === "reinforcement" ? "a grader" : "a text"} reads it by: what is no letter or digit becomes _, and a name that is taken gets _2.${heads.length > SHOWN_COLUMNS ? ` ${count(heads.length - SHOWN_COLUMNS)} more columns are not shown.` : ""}`),
      faults,
      h("div", { class: "stack tight" }, field("What the model is asked", controls.prompt, "{{column}} becomes the row\u2019s cell. Say what form the answer is to have: \u201cAnswer with one word.\u201d"), asked, writers(texts, controls.prompt, "Put in a column")),
      h("details", { open: state.system !== "" }, h("summary", {}, "A message of the system before it"), h("div", { class: "stack" }, field("Message of the system", controls.system, "The same for all rows: who the model is, how it should answer. Not needed."))),
      h(
        "div",
        { class: "fields" },
        answerFields(),
        field("Keep back for validation, in %", controls.share, "These rows are measured and never learned. Rows that ask the same stay together."),
        field("Seed of the draw", controls.seed, "The same table and seed keep back the same rows."),
        field("Cells are parted by", controls.separator),
      ),
      h("h3", {}, "The first row as the job gets it"),
      preview,
      status,
      wrong,
      place,
      h("div", { class: "actions" }, begin, save, callButton(() => uploadCall(`${stem()}.train.jsonl`), "Call")),
    );
    changed();
  }

  // ---- files ----

  const stem = () => state.name.replace(/\.[^.]*$/, "");

  async function files() {
    const how = howOf(state, method);
    clearTimeout(timer);
    turn++;
    const made = reason(state, how, null) ? null : await planned(how);
    if (made) showFaults(made);
    const why = reason(state, how, made);
    if (why) {
      put(wrong, h("p", { class: "notice error" }, why[0]));
      controls[why[1]]?.focus();
    }
    if (why || !made) return null;
    const file = async (side, word) => new File(await linesOf(state.table, how, made.side, side), `${stem()}.${word}.jsonl`, { type: "application/jsonl" });
    return { train: await file(TRAIN, "train"), valid: made.n_valid > 0 ? await file(VALID, "valid") : null };
  }

  async function run(button, then) {
    put(wrong);
    button.disabled = true;
    try {
      const parts = await files();
      if (parts) await then(parts);
    } catch (e) {
      if (e.name !== "AbortError") put(wrong, errorBox(e));
      put(place);
    }
    button.disabled = false;
  }

  function download({ train, valid }) {
    api.save(train, train.name);
    if (valid) api.save(valid, valid.name);
  }

  draw();
  return box;
}

const uploadCall = (name) => ({
  method: "POST",
  path: "/v1/files",
  form: { purpose: "fine-tune", file: `@${name}` },
  python: `file = client.files.create(file=open(${JSON.stringify(name)}, "rb"), purpose="fine-tune")\nprint(file.id)`,
});
