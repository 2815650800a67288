// rollout.js - one answer of a run, as a card: thinking folded apart, what it earned, where to look further.
//
//   answerCard(job, rollout, {where, prompt})
//        where   links to leave out: "row" where the page is of its row already
//        prompt  true: the prompt stands there, folded
//   addressOf(job, rollout)       "#/jobs/J/answers/step-3-17"
//   rowAddress(job, rollout)      "#/jobs/J/rows/train/17"
//   promptText(text)              a prompt without the marks of its template, where they are the usual ones

import { h, longText } from "./dom.js";
import { number, plural } from "./format.js";

export const addressOf = (job, r) => `#/jobs/${encodeURIComponent(job)}/answers/${encodeURIComponent(r.id)}`;
export const rowAddress = (job, r, query = "") => `#/jobs/${encodeURIComponent(job)}/rows/${r.split}/${r.item}${query}`;

const ERRORS = {
  sample_parse_error: "answer not readable",
  other_error: "grader failed",
  invalid_variable_error: "variable missing",
  python_grader_runtime_error: "Python error",
  python_grader_server_error: "Python server error",
};
const errorName = (name) => ERRORS[name] ?? name.replaceAll("_", " ");

export function promptText(text) {
  return String(text ?? "")
    .replace(/<\|im_start\|>(\w+)\n/g, (_, role) => `${role}: `)
    .replace(/<\|im_end\|>\n?/g, "\n")
    .trim();
}

export function scoresOf(r) {
  const line = (scores, shadow) =>
    Object.entries(scores ?? {}).map(([name, value]) => h("span", { class: "chip", dir: "auto", title: shadow ? "a shadow grader: measured, never rewarded" : "a grader" }, shadow ? `${name} (shadow) ` : `${name} `, h("b", {}, value === null ? "failed" : number(value))));
  return [line(r.scores, false), line(r.shadow_scores, true)];
}

export function marksOf(r) {
  return [
    r.count > 1 && h("span", { class: "chip" }, `${r.count} times`),
    r.truncated && h("span", { class: "chip warn" }, "cut off at the limit"),
    r.lost && h("span", { class: "chip bad" }, "a tool was lost"),
    (r.errors ?? []).map((name) => h("span", { class: "chip bad" }, errorName(name))),
    r.split === "train" && !r.trained && h("span", { class: "chip", title: "all answers to its prompt earned the same, or it was masked" }, "not learned from"),
  ];
}

export const advantageOf = (r) => {
  if (r.split === "valid" || r.advantage === null || r.advantage === undefined) return null;
  const sign = r.advantage > 0 ? "up" : r.advantage < 0 ? "down" : "";
  return h("span", { class: `advantage ${sign}`, title: "advantage: how much better than its group it was; above 0 it was strengthened" }, `${r.advantage > 0 ? "▲ +" : r.advantage < 0 ? "▼ " : ""}${number(Math.round(100 * r.advantage) / 100, 2)}`);
};

export const referenceOf = (r) => (r.reference && Object.keys(r.reference).length ? Object.entries(r.reference).map(([k, v]) => `${k}: ${typeof v === "string" ? v : JSON.stringify(v)}`).join("\n") : null);

export function answerCard(job, r, { where = "", prompt = false } = {}) {
  const reference = referenceOf(r);
  return h(
    "article",
    { class: "card answer", "aria-label": `Answer ${r.id}` },
    h(
      "header",
      {},
      h("p", { class: "answer-figures" }, h("b", { class: "reward", title: "reward" }, number(r.reward)), advantageOf(r), marksOf(r)),
      h("p", { class: "soft small" }, `Step ${r.step}, ${r.split === "valid" ? "validation " : ""}row ${r.item}, sample ${r.sample}, ${plural(r.n_tokens, "token")}${r.thinking_tokens ? `, ${r.thinking_tokens} of thinking` : ""}`),
    ),
    h(
      "div",
      { class: "pad stack" },
      prompt && r.prompt && h("details", {}, h("summary", {}, "Prompt"), longText(promptText(r.prompt), { limit: 1500 }), reference && longText(reference, { limit: 800, className: "text mono soft" })),
      r.thinking && h("details", {}, h("summary", {}, `Thinking, ${plural(r.thinking_tokens, "token")}`), h("div", { class: "thinking" }, longText(r.thinking, { limit: 2500 }))),
      r.answer ? longText(r.answer, { limit: 900 }) : h("p", { class: "soft" }, "Nothing was answered."),
      r.details && h("details", {}, h("summary", {}, "What the grader said"), longText(r.details, { limit: 1200, className: "text mono" })),
      r.cut && h("p", { class: "soft small" }, "A long text is cut here."),
      h("p", { class: "answer-scores" }, scoresOf(r)),
      h("p", { class: "small links" }, h("a", { href: addressOf(job, r) }, "Its tokens"), where !== "row" && h("a", { href: rowAddress(job, r, `?a=${r.step}`) }, "This row through training")),
    ),
  );
}
