// playground.js - one or two models asked the same, side by side; their thinking apart, and what people say of their answers.

import * as api from "../lib/api.js";
import { callButton } from "../lib/call.js";
import { announce, errorBox } from "../lib/dialog.js";
import { $, h, longText, put, visible } from "../lib/dom.js";
import { feedbackBar } from "../lib/feedback.js";
import { field, input, modelOptions, models, select, textarea } from "../lib/form.js";
import { count, duration, number, plural } from "../lib/format.js";
import * as streams from "../lib/stream.js";

export const title = "Playground";

const EFFORTS = [
  ["", "As the model has it"],
  ["none", "None"],
  ["minimal", "Minimal"],
  ["low", "Low"],
  ["medium", "Medium"],
  ["high", "High"],
];

export async function show(root, params) {
  const { signal, query, setQuery } = params;
  const all = await models(signal);
  if (all.bases.length + all.tuned.length === 0) {
    root.append(h("h1", {}, "Playground"), h("div", { class: "empty" }, h("h2", {}, "There is no model to ask"), h("p", {}, "On the server\u2019s machine, ", h("code", {}, "hone pull ORG/NAME"), " fetches one.")));
    return;
  }
  const settings = makeSettings();
  const panels = [panel(query.model ?? all.tuned[0]?.id ?? all.bases[0]?.id, all, settings, signal)];
  const columns = h("div", { class: "panels" }, panels[0].element);
  const remember = () => setQuery({ model: panels[0].model(), with: panels[1]?.model() });
  const side = h("button", { type: "button", class: "quiet", "aria-pressed": "false" }, "Side by side");
  const text = textarea({ rows: "3", placeholder: "Ask something", "aria-label": "Your message" });
  const send = h("button", { type: "submit", class: "primary" }, "Send");
  const stop = h("button", { type: "button", class: "quiet", hidden: true }, "Stop");
  let asking = null;

  function second(on) {
    if (on && panels.length === 1) {
      panels.push(panel(query.with ?? otherThan(panels[0].model()), all, settings, signal));
      panels[1].select.addEventListener("change", remember);
      columns.append(panels[1].element);
    } else if (!on && panels.length === 2) {
      panels.pop().element.remove();
    }
    columns.classList.toggle("two", panels.length === 2);
    name();
    side.setAttribute("aria-pressed", String(panels.length === 2));
    remember();
  }
  const name = () => panels.forEach((p, i) => p.name(panels.length === 1 ? "Model" : i === 0 ? "First model" : "Second model"));
  const otherThan = (id) => [...all.bases, ...all.tuned].find((m) => m.id !== id)?.id ?? id;

  async function ask() {
    const message = text.value;
    if (!message.trim() || asking) return;
    asking = new AbortController();
    text.value = "";
    send.disabled = true;
    stop.hidden = false;
    try {
      await Promise.all(panels.map((p) => p.ask(message, AbortSignal.any([asking.signal, signal]))));
      if (!signal.aborted) announce(panels.length === 2 ? "Both answers are there." : "The answer is there.");
    } finally {
      asking = null;
      send.disabled = false;
      stop.hidden = true;
      if (!signal.aborted) text.focus();
    }
  }

  stop.addEventListener("click", () => asking?.abort());
  side.addEventListener("click", () => second(panels.length === 1));
  panels[0].select.addEventListener("change", remember);
  text.addEventListener("keydown", (e) => {
    if (e.key === "Enter" && (e.ctrlKey || e.metaKey)) ask();
  });
  const fresh = h("button", { type: "button", class: "quiet" }, "Begin anew");
  fresh.addEventListener("click", () => {
    asking?.abort();
    panels.forEach((p) => p.clear());
    text.focus();
  });
  const counted = h("span", { class: "soft small", role: "status" });
  const ruler = h("button", { type: "button", class: "quiet" }, "Count the tokens");
  ruler.addEventListener("click", async () => {
    const messages = [...settings.messages(), ...panels[0].messages(), { role: "user", content: text.value }];
    const { input_tokens: n } = await api.post("/v1/responses/input_tokens", { model: panels[0].model(), input: messages }, { signal });
    put(counted, `${plural(n, "token")} with all that is sent to the first model.`);
  });
  text.addEventListener("input", () => put(counted));
  const form = h("form", { class: "card pad stack composer" }, text, h("div", { class: "actions" }, send, stop, ruler, h("span", { class: "soft small" }, "Ctrl + Enter sends"), counted));
  form.addEventListener("submit", (e) => {
    e.preventDefault();
    ask();
  });
  root.append(
    h(
      "div",
      { class: "head" },
      h("div", {}, h("h1", {}, "Playground"), h("p", { class: "lead" }, "Ask any model and any checkpoint. What you say of an answer is kept, and can be learned from.")),
      h("div", { class: "actions" }, side, fresh, callButton(() => theCall(panels[0], settings, text.value))),
    ),
    settings.element,
    columns,
    form,
  );
  name();
  if (query.with) second(true);
  return () => asking?.abort();
}

// ---- settings ----

function makeSettings() {
  const system = textarea({ rows: "2" });
  const temperature = input({ type: "number", min: "0", max: "2", step: "any", value: "1" });
  const topP = input({ type: "number", min: "0", max: "1", step: "any", value: "1" });
  const most = input({ type: "number", min: "1", step: "1", value: "1024" });
  const seed = input({ type: "number", min: "0", step: "1", placeholder: "a new one each time" });
  const effort = select(EFFORTS, "");
  const numeric = (control) => (control.value === "" ? undefined : Number(control.value));
  return {
    element: h(
      "details",
      { class: "settings" },
      h("summary", {}, "Settings"),
      h("div", { class: "card pad stack" }, field("System message", system, "What the model is told before the conversation."), h("div", { class: "fields" }, field("Temperature", temperature, "0 takes the likeliest token each time."), field("Top-p", topP), field("Most tokens", most, "What is thought counts."), field("Seed", seed, "The same seed gives the same answer."), field("Reasoning effort", effort))),
    ),
    messages: () => (system.value.trim() ? [{ role: "system", content: system.value }] : []),
    body: () => {
      const made = { temperature: numeric(temperature), top_p: numeric(topP), max_completion_tokens: numeric(most), seed: numeric(seed), reasoning_effort: effort.value || undefined };
      return Object.fromEntries(Object.entries(made).filter(([, v]) => v !== undefined));
    },
  };
}

function theCall(panel, settings, text) {
  const messages = [...settings.messages(), ...panel.messages(), { role: "user", content: text || "Hello" }];
  const body = { model: panel.model(), messages, ...settings.body() };
  const args = Object.entries(body).map(([k, v]) => `    ${k}=${JSON.stringify(v)},`).join("\n");
  return { method: "POST", path: "/v1/chat/completions", body, python: `answer = client.chat.completions.create(\n${args}\n)\nprint(answer.choices[0].message.content)`, command: `hone chat --model ${/^[\w@%+=:,./-]+$/.test(body.model) ? body.model : JSON.stringify(body.model)}` };
}

// ---- one model's side ----

function panel(chosen, all, settings, signal) {
  const options = modelOptions(all);
  const known = [...all.bases, ...all.tuned, ...all.checkpoints].some((m) => m.id === chosen);
  const choice = select(known ? options : { ...options, Other: [[chosen, chosen]] }, chosen);
  const log = h("div", { class: "stack log" });
  const hint = h("p", { class: "soft" }, "Nothing is asked yet.");
  let history = [];
  put(log, hint);

  async function ask(text, stopped) {
    hint.remove();
    const model = choice.value;
    log.append(h("div", { class: "said" }, h("p", { class: "soft small" }, "You"), longText(text)));
    const view = answerView(model);
    log.append(view.element);
    history = [...history, { role: "user", content: text }];
    const body = { model, messages: [...settings.messages(), ...history], ...settings.body(), store: true, stream_options: { include_usage: true } };
    try {
      for await (const chunk of streams.answer("/v1/chat/completions", body, { signal: stopped })) view.take(chunk);
      history = [...history, { role: "assistant", content: view.text() }];
    } catch (e) {
      // what was not answered is not part of the conversation
      history = history.slice(0, -1);
      if (signal.aborted) return;
      view.fail(e.name === "AbortError" ? null : e);
      return;
    }
    view.end();
  }

  const titled = field("", choice);
  const element = h("section", { class: "card panel" }, h("header", {}, titled), log);
  return {
    element,
    select: choice,
    name(label) {
      put($("label", titled), label);
      element.setAttribute("aria-label", label);
    },
    model: () => choice.value,
    messages: () => history,
    ask,
    clear() {
      history = [];
      put(log, hint);
    },
  };
}

function answerView(model) {
  const thought = h("div", { class: "text thinking", dir: "auto" });
  const summary = h("summary", {}, "Thinking\u2026");
  const thinking = h("details", { class: "thought", hidden: true }, summary, thought);
  const text = h("div", { class: "text", dir: "auto" });
  const meta = h("p", { class: "soft small" }, "is asked\u2026");
  const after = h("div", {});
  const began = performance.now();
  const words = { reasoning: "", content: "" };
  let id = null;
  let usage = null;
  let reason = null;
  let firstAt = null;

  // Text grows at its end; as it was shown it stays, so that a long answer costs no more than a short one.
  function grow(place, kind, piece) {
    if (!piece) return;
    firstAt ??= performance.now();
    words[kind] += piece;
    if (words[kind].length < 20000) place.append(document.createTextNode(visible(piece)));
  }

  function take(chunk) {
    id = chunk.id ?? id;
    usage = chunk.usage ?? usage;
    for (const c of chunk.choices ?? []) {
      if (c.delta?.reasoning_content) thinking.hidden = false;
      grow(thought, "reasoning", c.delta?.reasoning_content);
      grow(text, "content", c.delta?.content);
      for (const call of c.delta?.tool_calls ?? []) grow(text, "content", (call.function?.name ? `${call.function.name} ` : "") + (call.function?.arguments ?? ""));
      reason = c.finish_reason ?? reason;
    }
  }

  const whole = (place, value) => value.length >= 20000 && place.replaceWith(longText(value, { limit: 20000, className: place.className }));
  const ends = { length: "cut at the most tokens", tool_calls: "calls a tool", content_filter: "held back" };

  function tell() {
    const seconds = (performance.now() - began) / 1000;
    const n = usage?.completion_tokens;
    const thinkingTokens = usage?.completion_tokens_details?.reasoning_tokens;
    const since = firstAt ? (performance.now() - firstAt) / 1000 : 0; // what comes in one piece tells no speed
    const rate = n && since > 0.2 ? n / since : null;
    put(meta, [n !== undefined && `${count(n)} tokens`, duration(seconds), rate && `${number(rate, 0)} tokens a second`, ends[reason]].filter(Boolean).join(" \u00b7 "));
    put(summary, thinkingTokens ? `Thinking, ${count(thinkingTokens)} tokens` : "Thinking");
  }

  return {
    element: h("div", { class: "answered" }, h("p", { class: "soft small", dir: "auto" }, visible(model)), thinking, text, meta, after),
    take,
    text: () => words.content,
    end() {
      whole(thought, words.reasoning);
      whole(text, words.content);
      if (words.content === "") put(text, h("span", { class: "soft" }, words.reasoning ? "It thought, and said nothing: give it more tokens." : "It said nothing."));
      tell();
      if (id) put(after, feedbackBar(id, words.content));
    },
    fail(error) {
      put(meta, error ? "" : "stopped");
      if (error) put(after, errorBox(error));
    },
  };
}
