// comparison.js - from the runs of an eval and their items to figures: pure functions, used by the page of an eval.
//
//   gather(runs, itemsOf, criterion, ranking)   [{model, samples, byItem: Map(id -> {item, answers: [...]})}], in the order of the runs
//        itemsOf: Map(run id -> output items); criterion: the grader's place; answers: {text, score, passed, error, place, tokens}
//   figures(side, ranking)                      {items, answers, score, passed, passAt: [{k, value}], top: {1, 5, max}, errors, tokens}
//   pairs(a, b)                                 items that both have: [{id, item, a: answers, b: answers}]
//   csv(sides, ranking)                         a line for each answer

import { mean, meanInterval, passAtK, rankPlace, shareInterval } from "./statistics.js";

const textOf = (message) => (typeof message?.content === "string" ? message.content : message?.content === null || message === undefined ? "" : JSON.stringify(message.content ?? message));

function answerOf(output, criterion, ranking) {
  const result = output.results[criterion];
  const text = (output.sample?.output ?? []).map(textOf).join("\n");
  return {
    text,
    score: result?.score ?? 0,
    passed: Boolean(result?.passed),
    error: output.sample?.error?.message ?? (result?.errors?.length ? result.details || result.errors.join(", ") : null),
    place: ranking ? rankPlace(ranking, output.datasource_item, text) : null,
    tokens: output.sample?.usage?.completion_tokens || null, // of answers that were given nobody counted any
    input: output.sample?.input ?? [],
  };
}

export function gather(runs, itemsOf, criterion, ranking) {
  const sides = new Map();
  for (const run of runs) {
    const items = itemsOf.get(run.id);
    if (!items) continue;
    const model = run.model || run.name || "given answers";
    if (!sides.has(model)) sides.set(model, { model, samples: 0, byItem: new Map() });
    const side = sides.get(model);
    side.samples++;
    for (const output of items) {
      const id = output.datasource_item_id;
      if (!side.byItem.has(id)) side.byItem.set(id, { item: output.datasource_item, answers: [] });
      side.byItem.get(id).answers.push(answerOf(output, criterion, ranking));
    }
  }
  return [...sides.values()];
}

// Items are what vary independently: of several answers to one, their mean is one figure.
const perItem = (side, value) => [...side.byItem.values()].map(({ answers }) => mean(answers.map(value)));

function share(side, value) {
  const xs = perItem(side, (a) => Number(value(a)));
  const whole = xs.every((x) => x === 0 || x === 1);
  if (whole) return shareInterval(xs.reduce((sum, x) => sum + x, 0), xs.length);
  const v = meanInterval(xs);
  return v.low === null ? v : { mean: v.mean, low: Math.max(0, v.low), high: Math.min(1, v.high) };
}

// Of scores from 0 to 1 no mean is outside of that.
function scoreInterval(side, all) {
  const v = meanInterval(perItem(side, (a) => a.score));
  if (v.low === null || all.some((a) => a.score < 0 || a.score > 1)) return v;
  return { mean: v.mean, low: Math.max(0, v.low), high: Math.min(1, v.high) };
}

export function figures(side, ranking) {
  const all = [...side.byItem.values()].flatMap((i) => i.answers);
  const tokens = all.map((a) => a.tokens).filter((t) => t !== null);
  const most = Math.max(0, ...[...side.byItem.values()].map((i) => i.answers.length));
  const passAt = [1, 2, 4, 8, 16, 32, 64]
    .filter((k) => k > 1 && k <= most)
    .map((k) => {
      const values = [...side.byItem.values()].map(({ answers }) => passAtK(answers.length, answers.filter((a) => a.passed).length, k)).filter((v) => v !== null);
      return { k, value: meanInterval(values) };
    });
  return {
    items: side.byItem.size,
    answers: all.length,
    score: scoreInterval(side, all),
    passed: share(side, (a) => a.passed),
    passAt,
    top: ranking ? { 1: share(side, (a) => a.place === 1), 5: share(side, (a) => a.place >= 1 && a.place <= 5), max: share(side, (a) => a.place >= 1) } : null,
    errors: all.filter((a) => a.error).length,
    tokens: tokens.length > 0 ? mean(tokens) : null,
  };
}

export function pairs(a, b) {
  const both = [];
  for (const [id, { item, answers }] of a.byItem) {
    const other = b.byItem.get(id);
    if (other) both.push({ id, item, a: answers, b: other.answers });
  }
  return both.sort((x, y) => x.id - y.id);
}

// A field that begins like a formula is kept from being one (a leading apostrophe), for tables are opened in spreadsheets.
function field(value) {
  const text = value === null || value === undefined ? "" : typeof value === "number" || typeof value === "boolean" ? String(value) : (/^[=+\-@\t\r]/.test(value) ? "'" : "") + value;
  return /[",\n\r]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

export function csv(sides, ranking) {
  const head = ["item", "model", "answer_number", "score", "passed", ...(ranking ? ["place"] : []), "tokens", "error", "answer"];
  const lines = [head];
  for (const side of sides)
    for (const [id, { answers }] of [...side.byItem].sort(([x], [y]) => x - y))
      answers.forEach((a, i) => lines.push([id, side.model, i, a.score, a.passed, ...(ranking ? [a.place] : []), a.tokens, a.error, a.text]));
  return lines.map((line) => line.map(field).join(",") + "\r\n").join("");
}
