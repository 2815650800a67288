// table_rows.js - rows of a table become lines of a training file, some of them kept back for validation.
//
//   keysOf(heads, answer)        the key that each column has in a row of the file; the column `answer` (or none: -1) is "answer"
//   textWith(text, heads, keys)  a text with {{column}} in it, by key or head: {parts, used, unknown}; used: columns, unknown: names
//   filled(template, cells)      that text for a row
//   guess(table)                 {asked, answer, worse}: which column is which, by its head and its cells; -1: none
//   plan(table, how, going)      promise of {side, n_train, n_valid, n_mistakes, mistakes: [{line, words}]}; side[i] of row i: LEFT_OUT, TRAIN or
//                                VALID; null once going() is false. Of the mistakes the first 100 are told
//   lineOf(cells, how)           a row as the line that a job of how.method reads
//   linesOf(table, how, side, wanted, most)   promise of the parts of a file: the lines of that side; throws where they have more characters
//
// how: {method, keys, prompt, system (templates; system or null), answer, worse, share (0 to 1), seed}. Cells go in without blanks at their
// ends, with line feeds as line breaks. The draw is a function of the seed and the row's place, whatever the model is asked; rows of the
// same prompt go where the first of them goes.

import { pause } from "./table_file.js";

export const LEFT_OUT = 0;
export const TRAIN = 1;
export const VALID = 2;
const MOST_TOLD = 100;
const BATCH = 5000; // rows between two pauses
const MOST_MADE = 400e6; // characters of a file: what a browser keeps until it is sent
const LONGEST_KEY = 60;
const TAKEN = ["messages", "tools", "functions", "parallel_tool_calls", "preferred_output", "non_preferred_output"]; // what a row has of its own

export function keysOf(heads, answer = -1) {
  const seen = new Set(answer >= 0 ? [...TAKEN, "answer"] : TAKEN);
  return heads.map((head, i) => {
    if (i === answer) return "answer";
    const words = head.normalize("NFC").replace(/[^\p{L}\p{M}\p{N}_-]+/gu, "_").replace(/^_+|_+$/g, "");
    const plain = [...words].slice(0, LONGEST_KEY).join("") || `column_${i + 1}`;
    let key = plain;
    for (let n = 2; seen.has(key); n++) key = `${plain}_${n}`;
    seen.add(key);
    return key;
  });
}

// ---- texts with columns in them ----

export function textWith(text, heads, keys) {
  const used = new Set();
  const unknown = [];
  const parts = text.split(/\{\{([^{}]*)\}\}/).map((part, i) => {
    if (i % 2 === 0) return part;
    const name = part.trim();
    const column = keys.includes(name) ? keys.indexOf(name) : heads.indexOf(name);
    if (column < 0) unknown.push(name);
    else used.add(column);
    return column;
  });
  return { parts, used: [...used], unknown };
}

const clean = (cell = "") => cell.trim().replace(/\r\n?/g, "\n");

export const filled = (template, cells) => template.parts.map((part) => (typeof part === "string" ? part : clean(cells[part]))).join("");

// ---- which column is which ----

const WORSE = /reject|worse|non.?preferred/i;
const ANSWER = /answer|solution|label|target|expected|gold|correct|chosen|better|preferred|antwort|l\u00f6sung|r\u00e9ponse|respuesta/i;

export function guess({ heads, rows }) {
  const some = rows.slice(0, 1000);
  const length = (column) => some.reduce((sum, cells) => sum + (cells[column] ?? "").length, 0);
  const longest = (columns) => columns.reduce((best, c) => (best < 0 || length(c) > length(best) ? c : best), -1);
  const all = heads.map((_, i) => i);
  const named = (words) => all.find((i) => words.test(heads[i]) && (words === WORSE || !WORSE.test(heads[i]))) ?? -1;
  const answer = named(ANSWER);
  const worse = named(WORSE);
  const free = all.filter((i) => i !== answer && i !== worse);
  const asked = longest(free.length > 0 ? free : all);
  return { asked, worse, answer: answer >= 0 ? answer : (all.filter((i) => i !== asked && i !== worse).at(-1) ?? -1) };
}

// ---- the draw ----

// The last step of MurmurHash3: a permutation of 32 bits.
function mix(x) {
  x = Math.imul(x ^ (x >>> 16), 0x85ebca6b);
  x = Math.imul(x ^ (x >>> 13), 0xc2b2ae35);
  return (x ^ (x >>> 16)) >>> 0;
}

const drawn = (seed, place) => mix((mix(seed) + Math.imul(place, 0x9e3779b1)) | 0);

// 53 bits of a text; two texts that share them would only stay on one side.
function hash(text) {
  let a = 0x811c9dc5;
  let b = 0x1b873593;
  for (let i = 0; i < text.length; i++) {
    const c = text.charCodeAt(i);
    a = Math.imul(a ^ c, 0x01000193);
    b = Math.imul(((b << 5) | (b >>> 27)) ^ c, 0x9e3779b1);
  }
  return mix(a) * 0x200000 + (mix(b) >>> 11);
}

// Of sorted draws, in which rows of one prompt are equal: below which of them about `share` lie, and not all.
function cutOf(sorted, share) {
  const wanted = Math.round(share * sorted.length);
  if (wanted === 0) return -1;
  const at = sorted[wanted - 1];
  const below = sorted.indexOf(at);
  const through = sorted.lastIndexOf(at) + 1;
  const takes = through < sorted.length && (below === 0 || through - wanted <= wanted - below);
  return takes ? at : (sorted[below - 1] ?? -1);
}

function mistakeOf(cells, flaw, how) {
  const empty = (column) => clean(cells[column]) === "";
  if (flaw) return flaw;
  if (how.answer >= 0 && empty(how.answer)) return how.method === "dpo" ? "the better answer is empty" : "the answer is empty";
  if (how.method === "dpo" && how.worse >= 0 && empty(how.worse)) return "the worse answer is empty";
  if (how.prompt.used.length > 0 && how.prompt.used.every(empty)) return "nothing is asked: what the text takes from the row is empty";
  return null;
}

export async function plan(table, how, going = () => true) {
  const n = table.rows.length;
  const side = new Uint8Array(n);
  const draws = new Float64Array(n);
  const firsts = new Map(); // of a prompt: the place of the first row that asks it
  const mistakes = [];
  let good = 0;
  let wrong = 0;
  for (let i = 0; i < n; i++) {
    if (i % BATCH === BATCH - 1) await pause();
    if (!going()) return null;
    const words = mistakeOf(table.rows[i], table.flaws[i], how);
    if (words) {
      if (wrong++ < MOST_TOLD) mistakes.push({ line: table.lines[i], words });
      continue;
    }
    const prompt = hash(filled(how.prompt, table.rows[i]));
    if (!firsts.has(prompt)) firsts.set(prompt, i);
    draws[i] = drawn(how.seed, firsts.get(prompt));
    side[i] = TRAIN;
    good++;
  }
  const cut = cutOf(draws.filter((_, i) => side[i] === TRAIN).sort(), how.share);
  let held = 0;
  for (let i = 0; i < n; i++)
    if (side[i] === TRAIN && draws[i] <= cut) {
      side[i] = VALID;
      held++;
    }
  return { side, n_train: good - held, n_valid: held, n_mistakes: wrong, mistakes };
}

// ---- lines ----

const messagesOf = (cells, how) => [
  ...(how.system ? [{ role: "system", content: filled(how.system, cells) }] : []),
  { role: "user", content: filled(how.prompt, cells) },
];
const said = (cell) => [{ role: "assistant", content: clean(cell) }];

// Written out key by key: an object would put the key "7" in front, and take "__proto__" for something else.
export function lineOf(cells, how) {
  const messages = messagesOf(cells, how);
  if (how.method === "supervised") return JSON.stringify({ messages: [...messages, ...said(cells[how.answer])] });
  if (how.method === "dpo") return JSON.stringify({ input: { messages }, preferred_output: said(cells[how.answer]), non_preferred_output: said(cells[how.worse]) });
  const pair = (i) => `${JSON.stringify(how.keys[i])}:${JSON.stringify(clean(cells[i]))}`;
  const others = how.keys.map((_, i) => i).filter((i) => i !== how.answer);
  return `{"messages":${JSON.stringify(messages)},${[...(how.answer >= 0 ? [how.answer] : []), ...others].map(pair).join(",")}}`;
}

export async function linesOf(table, how, side, wanted, most = MOST_MADE) {
  const parts = [];
  let lines = [];
  let size = 0;
  for (let i = 0; i < table.rows.length; i++) {
    if (side[i] === wanted) lines.push(lineOf(table.rows[i], how), "\n");
    if (i % BATCH === BATCH - 1 || i === table.rows.length - 1) {
      parts.push(lines.join(""));
      size += parts.at(-1).length;
      if (size > most) throw new Error(`The file would have more than ${Math.round(most / 1e6)} million characters, for which a browser has no room: shorten the text, or let a program make it (docs/TUTORIAL.md).`);
      lines = [];
      await pause();
    }
  }
  return parts;
}
