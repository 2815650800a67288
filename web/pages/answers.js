// answers.js - all answers of a run: the best, the worst, the odd ones, those that graders failed on; filtered and searched.

import * as api from "../lib/api.js";
import { uri } from "../lib/api.js";
import { callButton } from "../lib/call.js";
import { h, put } from "../lib/dom.js";
import { count, percent, plural } from "../lib/format.js";
import { jobHead, nameOf } from "../lib/jobs.js";
import { answerCard } from "../lib/rollout.js";

export const title = "Answers";

const VIEWS = [
  ["newest", "Newest", {}],
  ["best", "Best", { order: "best" }],
  ["worst", "Worst", { order: "worst" }],
  ["strengthened", "Most strengthened", { order: "strengthened" }],
  ["weakened", "Most weakened", { order: "weakened" }],
  ["thinking", "Most thinking", { order: "most_thinking", filter: "thinking" }],
  ["odd", "Oddities", { filter: "odd" }],
  ["error", "Grader errors", { filter: "error" }],
  ["truncated", "Cut off", { filter: "truncated" }],
  ["flat", "Taught nothing", { filter: "flat" }],
];
const NONE = {
  odd: "No answer is odd: none is empty, lost, failed by a grader, or three times as long as the others to its prompt.",
  error: "No grader failed on any answer.",
  truncated: "No answer was cut off at the limit.",
  flat: "At every prompt some answers earned more than others.",
  thinking: "No answer has thinking in it.",
};
const PAGE = 20;
const FIELDS = ["q", "step", "item", "split", "min_reward", "max_reward"];

export async function show(root, params) {
  const path = uri`/v1/fine_tuning/jobs/${params.id}/rollouts`;
  const job = await api.get(uri`/v1/fine_tuning/jobs/${params.id}`, { signal: params.signal });
  document.title = `Answers, ${nameOf(job)} \u2013 hone`;
  let view = VIEWS.find(([name]) => name === params.query.view) ?? VIEWS[0];
  let turn = 0;
  let after = null;

  const field = (name, label, attributes) => {
    const id = `f-${name}`;
    const input = attributes.options ? h("select", { id }, attributes.options.map(([value, text]) => h("option", { value }, text))) : h("input", { id, ...attributes });
    input.value = params.query[name] ?? "";
    return [name, input, h("div", { class: `field ${attributes.wide ? "wide" : ""}` }, h("label", { htmlFor: id }, label), input)];
  };
  const fields = [
    field("q", "Says", { type: "search", placeholder: "a word of answer or thinking", wide: true, autocomplete: "off" }),
    field("step", "Step", { inputmode: "numeric", pattern: "[0-9]*", autocomplete: "off" }),
    field("item", "Row", { inputmode: "numeric", pattern: "[0-9]*", autocomplete: "off" }),
    field("split", "From", { options: [["", "Training and validation"], ["train", "Training"], ["valid", "Validation"]] }),
    field("min_reward", "Reward from", { inputmode: "decimal", autocomplete: "off" }),
    field("max_reward", "to", { inputmode: "decimal", autocomplete: "off" }),
  ];
  const query = () => ({ ...view[2], ...Object.fromEntries(fields.map(([name, input]) => [name, input.value.trim()])) });

  const tabs = h("div", { class: "tabs", role: "group", "aria-label": "Which answers" });
  const status = h("p", { class: "soft", role: "status" });
  const problem = h("div", {});
  const list = h("div", { class: "stack answers" });
  const more = h("button", { type: "button", class: "quiet", hidden: true }, "Show more");
  const form = h("form", { class: "filters", role: "search", "aria-label": "Filter the answers" }, fields.map(([, , element]) => element), h("button", { type: "submit", class: "primary" }, "Show"), h("button", { type: "button", class: "quiet", on: { click: clear } }, "Clear"));

  function showTabs() {
    put(
      tabs,
      VIEWS.map((v) => {
        const tab = h("button", { type: "button", class: "tab", "aria-pressed": String(v === view), data: { view: v[0] } }, v[1]);
        tab.addEventListener("click", () => {
          view = v;
          showTabs();
          tabs.querySelector(`[data-view=${v[0]}]`).focus();
          load();
        });
        return tab;
      }),
    );
  }

  function clear() {
    for (const [, input] of fields) input.value = "";
    load();
  }

  // A page; where a search or the first look ends by time it goes on by itself.
  async function next(mine) {
    const least = list.querySelectorAll("article").length + PAGE;
    more.hidden = true;
    for (;;) {
      const q = query();
      const searching = Boolean(q.q);
      const page = await api.page(uri`/v1/fine_tuning/jobs/${params.id}/rollouts`, { ...q, limit: PAGE, after, wait_ms: 100 }, { signal: params.signal });
      if (mine !== turn) return;
      if (!page.complete && !searching && after === null) {
        // what is newest shows at once, the order of all only when all are read
        put(list, page.data.map((r) => answerCard(job.id, r, { prompt: true })));
        put(status, `Reading the answers of this run for the first time: ${percent(page.total_bytes ? page.read_bytes / page.total_bytes : 0, 0)}`);
        continue;
      }
      if (after === null) put(list);
      list.append(...page.data.map((r) => answerCard(job.id, r, { prompt: true })));
      after = page.last_id ?? after;
      const shown = list.querySelectorAll("article").length;
      if (searching && page.has_more && shown < least) {
        put(status, `Searching${shown ? `, ${plural(shown, "answer")} found so far` : ""}; now at ${after.replace("step-", "step ").replace("valid-", "validation ").replace(/-\d+$/, "")}\u2026`);
        continue;
      }
      more.hidden = !page.has_more;
      if (shown === 0) nothing();
      else put(status, searching ? `${plural(shown, "answer")} found${page.has_more ? " so far" : ""}` : `${plural(page.n_matching, "answer")}${page.n_matching > shown ? `, ${count(shown)} of them here` : ""}`);
      return;
    }
  }

  function nothing() {
    const filtered = fields.some(([, input]) => input.value.trim());
    put(status, "No answers.");
    put(
      list,
      h(
        "div",
        { class: "empty" },
        h("h2", {}, filtered ? "No answer fits" : NONE[view[0]] ? "None" : "No answers yet"),
        h("p", {}, filtered ? "Ask for less, or clear the fields." : NONE[view[0]] ?? "They come with the first step, or with the validation before it."),
      ),
    );
  }

  async function load() {
    const mine = ++turn;
    after = null;
    put(problem);
    params.setQuery({ view: view[0] === "newest" ? null : view[0], ...Object.fromEntries(fields.map(([name, input]) => [name, input.value.trim() || null])) });
    try {
      await next(mine);
    } catch (e) {
      if (e.name === "AbortError" || mine !== turn) return;
      const { errorBox } = await import("../lib/dialog.js");
      put(status);
      put(list);
      put(problem, errorBox(e));
      fields.find(([name]) => name === e.param)?.[1].focus();
    }
  }

  form.addEventListener("submit", (e) => {
    e.preventDefault();
    load();
  });
  more.addEventListener("click", async () => {
    more.disabled = true;
    const before = list.querySelectorAll("article").length;
    await next(turn).catch(() => {});
    more.disabled = false;
    const first = list.querySelectorAll("article")[before];
    first?.querySelector("summary, a")?.focus({ preventScroll: true });
  });
  showTabs();
  put(root, jobHead(job, "answers", [callButton(() => ({ path, query: query() }))], h("p", { class: "lead" }, "What the model said, and what it earned.")), tabs, form, problem, status, list, h("p", {}, more));
  await load();
  return () => void turn++;
}
