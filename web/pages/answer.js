// answer.js - one answer token by token: which of them training made likelier, which less likely, between any two models of its run.

import * as api from "../lib/api.js";
import { uri } from "../lib/api.js";
import { callButton } from "../lib/call.js";
import { errorBox } from "../lib/dialog.js";
import { h, longText, put, visible } from "../lib/dom.js";
import { number, percent, plural } from "../lib/format.js";
import { jobHead, nameOf } from "../lib/jobs.js";
import { advantageOf, marksOf, promptText, referenceOf, rowAddress, scoresOf } from "../lib/rollout.js";
import { table } from "../lib/table.js";

export const title = "Answer";

const MOST_TOKENS = 4000; // at once
const FULL = 2; // a change of the log-probability that has the full colour
const LEAST = 0.05; // and one that has none
const DRAWN = "drawn";

export async function show(root, params) {
  const [job, r, checkpoints] = await Promise.all([
    api.get(uri`/v1/fine_tuning/jobs/${params.id}`, { signal: params.signal }),
    api.get(uri`/v1/fine_tuning/jobs/${params.id}/rollouts/${params.rollout}`, { query: { wait_ms: 5000 }, signal: params.signal }),
    api.all(uri`/v1/fine_tuning/jobs/${params.id}/checkpoints`, { order: "asc" }, 200),
  ]);
  document.title = `Answer ${r.id}, ${nameOf(job)} \u2013 hone`;
  const reference = referenceOf(r);
  const tokens = tokenView(job, r, checkpoints, params);
  put(
    root,
    jobHead(job, "answers", [callButton(() => tokens.call())], h("p", { class: "lead" }, `Step ${r.step}, ${r.split === "valid" ? "validation " : ""}row ${r.item}, sample ${r.sample}, ${plural(r.n_tokens, "token")}. `, h("a", { href: rowAddress(job.id, r, `?a=${r.step}`) }, "This row through training"))),
    h(
      "div",
      { class: "columns" },
      h("section", { class: "card pad stack", "aria-label": "Prompt" }, h("h2", {}, "Prompt"), longText(promptText(r.prompt), { limit: 1500 }), reference && [h("h3", {}, "Reference"), longText(reference, { limit: 800, className: "text mono" })]),
      h(
        "section",
        { class: "card pad stack", "aria-label": "What it earned" },
        h("h2", {}, "What it earned"),
        h("p", { class: "answer-figures" }, h("b", { class: "reward" }, number(r.reward)), advantageOf(r), marksOf(r)),
        h("p", { class: "answer-scores" }, scoresOf(r)),
        r.details && longText(r.details, { limit: 1200, className: "text mono" }),
        h("h3", {}, "Answer"),
        r.answer ? longText(r.answer, { limit: 1500 }) : h("p", { class: "soft" }, "Nothing was answered."),
      ),
    ),
    tokens.element,
  );
  await tokens.load();
}

function tokenView(job, r, checkpoints, params) {
  const n = (r.tokens ?? []).length;
  const injected = new Set((r.injected ?? []).flatMap(([from, many]) => Array.from({ length: many }, (_, i) => from + i)));
  const known = { [DRAWN]: r.logprobs };
  const names = new Map([[DRAWN, `As it was drawn (${r.drawn_from.step === 0 ? "before training" : `after step ${r.drawn_from.step}`})`], ["base", "The base model"]]);
  for (const c of checkpoints) names.set(`step-${c.step_number}`, `Checkpoint of step ${c.step_number}`);
  const select = (id, value) => {
    const s = h("select", { id }, [...names].map(([v, text]) => h("option", { value: v }, text)));
    s.value = names.has(value) ? value : DRAWN;
    s.addEventListener("change", load);
    return s;
  };
  const lastStep = checkpoints.at(-1)?.step_number;
  const from = select("from", params.query.from ?? "base");
  const to = select("to", params.query.to ?? (lastStep !== undefined ? `step-${lastStep}` : DRAWN));
  const box = h("div", { class: "tokens", role: "listbox", tabindex: "0", "aria-label": "Tokens; the arrow keys go from one to the next" });
  const told = h("p", { class: "token-told", "aria-live": "polite" }, "Point at a token, or go through them by the arrow keys, to see its figures.");
  const problem = h("div", {});
  const sums = h("p", { class: "soft" });
  const most = h("div", {});
  let change = [];
  let at = -1;
  let shown = 0;
  const more = h("button", { type: "button", class: "quiet", hidden: true, on: { click: grow } }, "Show more tokens");

  async function logprobs(model) {
    known[model] ??= (await api.get(uri`/v1/fine_tuning/jobs/${params.id}/rollouts/${params.rollout}/logprobs`, { query: { model }, signal: params.signal })).logprobs;
    return known[model];
  }

  async function load() {
    params.setQuery({ from: from.value, to: to.value });
    put(problem);
    box.setAttribute("aria-busy", "true");
    try {
      const [a, b] = await Promise.all([logprobs(from.value), logprobs(to.value)]);
      change = Array.from({ length: n }, (_, i) => (injected.has(i) || a[i] === null || b[i] === null || a[i] === undefined || b[i] === undefined ? null : b[i] - a[i]));
      draw(a, b);
    } catch (e) {
      if (e.name !== "AbortError") put(problem, errorBox(e));
      change = Array(n).fill(null);
      draw([], []);
    }
    box.removeAttribute("aria-busy");
  }

  const piece = (i) => r.pieces?.[i] ?? `#${r.tokens[i]}`;

  function token(i) {
    const d = change[i];
    const strength = d === null ? 0 : Math.min(1, Math.max(0, (Math.abs(d) - LEAST) / (FULL - LEAST)));
    const kind = injected.has(i) ? "given" : strength === 0 ? "" : d > 0 ? "up" : "down";
    const text = piece(i);
    return h("span", { role: "option", id: `token-${i}`, "aria-selected": "false", class: kind || null, data: { i: String(i) }, css: strength ? { "--share": strength.toFixed(2) } : {} }, visible(text) || "\u2205", i + 1 === r.thinking_tokens && h("span", { class: "thinking-ends" }, " end of thinking"));
  }

  function grow() {
    const end = Math.min(n, shown + MOST_TOKENS);
    const part = document.createDocumentFragment();
    for (; shown < end; shown++) part.append(token(shown));
    box.append(part);
    more.hidden = shown >= n;
  }

  let before = [];
  let behind = [];
  function draw(a, b) {
    [before, behind] = [a, b];
    put(box);
    shown = 0;
    at = -1;
    grow();
    const used = change.filter((d) => d !== null);
    const sum = used.reduce((x, d) => x + d, 0);
    put(
      sums,
      used.length === 0
        ? ""
        : Math.abs(sum) < 1e-6
          ? "Both say the same of this answer."
          : `The whole answer became ${sum > 0 ? "likelier" : "less likely"}: its log-probability changed by ${signed(sum)}, ${number(Math.abs(sum / used.length), 3)} a token. ${plural(used.filter((d) => d > LEAST).length, "token")} rose, ${plural(used.filter((d) => d < -LEAST).length, "token")} fell.`,
    );
    put(most, extremes());
  }

  const signed = (x) => (x > 0 ? "+" : "") + number(x, 2);
  const p = (lp) => percent(Math.exp(lp), lp < Math.log(0.01) ? 3 : 1);

  function say(i) {
    const d = change[i];
    const head = `\u201c${visible(piece(i))}\u201d, token ${i + 1} of ${n}`;
    if (injected.has(i)) return `${head}: given, not drawn by the model.`;
    if (d === null) return `${head}: no figure.`;
    return `${head}: ${p(before[i])} \u2192 ${p(behind[i])}; log-probability ${number(before[i], 2)} \u2192 ${number(behind[i], 2)} (${signed(d)}), ${Math.abs(d) <= LEAST ? "hardly changed" : d > 0 ? "strengthened" : "weakened"}.`;
  }

  function mark(i, scroll = true) {
    box.querySelector("[aria-selected=true]")?.setAttribute("aria-selected", "false");
    at = i;
    const element = box.children[i];
    element.setAttribute("aria-selected", "true");
    box.setAttribute("aria-activedescendant", element.id);
    if (scroll) element.scrollIntoView({ block: "nearest" });
    told.textContent = say(i);
  }

  box.addEventListener("keydown", (e) => {
    const moves = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1, PageDown: 20, PageUp: -20, Home: -Infinity, End: Infinity };
    if (!(e.key in moves) || shown === 0) return;
    e.preventDefault();
    mark(Math.max(0, Math.min(shown - 1, at < 0 ? 0 : at + moves[e.key])));
  });
  box.addEventListener("focus", () => at < 0 && shown > 0 && mark(0, false));
  box.addEventListener("pointerover", (e) => {
    const i = e.target.closest("[data-i]")?.dataset.i;
    if (i !== undefined) told.textContent = say(Number(i));
  });
  box.addEventListener("click", (e) => {
    const i = e.target.closest("[data-i]")?.dataset.i;
    if (i !== undefined) mark(Number(i), false);
  });

  // The same as text: which tokens changed most.
  function extremes() {
    const order = change.map((d, i) => [d, i]).filter(([d]) => d !== null && Math.abs(d) > LEAST);
    if (order.length === 0) return null;
    const part = (label, list) =>
      table({
        caption: label,
        rows: list,
        columns: [
          { name: "token", label: "Token", head: true, grow: true, cell: ([, i]) => h("code", { dir: "auto" }, visible(piece(i)).replace(/ /g, "\u2423") || "\u2205") },
          { name: "at", label: "Place", number: true, cell: ([, i]) => i + 1 },
          { name: "p", label: "Probability", number: true, cell: ([, i]) => `${p(before[i])} \u2192 ${p(behind[i])}` },
          { name: "d", label: "Change", number: true, cell: ([d]) => signed(d) },
        ],
        empty: h("p", {}, "None."),
      }).element;
    const up = [...order].sort((x, y) => y[0] - x[0]).filter(([d]) => d > 0).slice(0, 8);
    const down = [...order].sort((x, y) => x[0] - y[0]).filter(([d]) => d < 0).slice(0, 8);
    return h("div", { class: "columns" }, h("section", { class: "stack", "aria-label": "Most strengthened" }, h("h3", {}, "Most strengthened"), part("Most strengthened tokens", up)), h("section", { class: "stack", "aria-label": "Most weakened" }, h("h3", {}, "Most weakened"), part("Most weakened tokens", down)));
  }

  const legend = h(
    "ul",
    { class: "token-legend", "aria-label": "What the colours mean" },
    [["down", 1, `weakened (${number(-FULL, 0)} or more)`], ["down", 0.35, "a little"], ["", 0, "hardly changed"], ["up", 0.35, "a little"], ["up", 1, `strengthened (+${FULL} or more)`]].map(([kind, share, text]) => h("li", {}, h("span", { class: `sample ${kind}`, css: { "--share": String(share) } }, "word"), text)),
    injected.size > 0 && h("li", {}, h("span", { class: "sample given" }, "word"), "given, not drawn"),
  );
  const swap = h("button", { type: "button", class: "quiet" }, "Swap");
  swap.addEventListener("click", () => {
    [from.value, to.value] = [to.value, from.value];
    load();
  });

  const nothing = r.cut || n === 0;
  return {
    call: () => ({ path: uri`/v1/fine_tuning/jobs/${params.id}/rollouts/${params.rollout}/logprobs`, query: { model: to.value === DRAWN ? r.drawn_from.model ?? "base" : to.value } }),
    load: nothing ? async () => {} : load,
    element: h(
      "section",
      { class: "section stack", "aria-label": "Tokens" },
      h("h2", {}, "Which tokens training changed"),
      nothing
        ? h("div", { class: "empty" }, h("h3", {}, "The tokens of this answer were not kept"), h("p", {}, "It was too long for one line of the run."))
        : [
            h("div", { class: "filters" }, h("div", { class: "field" }, h("label", { htmlFor: "from" }, "From"), from), h("div", { class: "field" }, h("label", { htmlFor: "to" }, "To"), to), swap),
            problem,
            sums,
            legend,
            told,
            h("div", { class: "card pad" }, box),
            more,
            most,
          ],
    ),
  };
}
