// stored_one.js - one stored answer, a chat completion or a response: what was asked, what was answered, what is said of it.

import * as api from "../lib/api.js";
import { uri } from "../lib/api.js";
import { callButton } from "../lib/call.js";
import { confirm, dialog, toast } from "../lib/dialog.js";
import { h, longText, visible } from "../lib/dom.js";
import { feedbackBar } from "../lib/feedback.js";
import { field, textarea } from "../lib/form.js";
import { count, timeElement } from "../lib/format.js";

export const title = "Stored answer";

const MOST_MESSAGES = 200;

export async function show(root, params) {
  const response = params.id.startsWith("resp_");
  const one = await (response ? ofResponse(params) : ofChat(params));
  const drop = h("button", { type: "button", class: "danger" }, "Delete");
  drop.addEventListener("click", async () => {
    if (!(await confirm({ title: "Delete this answer?", text: "It and what was asked will be gone for good.", action: "Delete", danger: true, call: callButton(() => ({ ...one.call, method: "DELETE", python: null })) }))) return;
    await one.remove();
    toast("The answer is deleted.");
    params.go("stored");
  });
  root.append(
    h("p", { class: "crumb" }, h("a", { href: "#/stored" }, "Stored answers")),
    h(
      "div",
      { class: "head" },
      h("div", {}, h("h1", {}, response ? "Response" : "Chat completion"), h("p", { class: "lead" }, h("span", { dir: "auto" }, visible(one.model)), ", ", timeElement(one.created), ", ", h("span", { class: "mono" }, visible(params.id)))),
      h("div", { class: "actions" }, one.actions, drop, callButton(() => one.call)),
    ),
    h("section", { class: "card pad stack", "aria-label": "What was asked" }, h("h2", {}, "What was asked"), one.asked.map(turn)),
    h("section", { class: "card pad stack section", "aria-label": "What was answered" }, h("h2", {}, "What was answered"), one.note && h("p", { class: "soft" }, one.note), one.answered.map(turn), feedbackBar(params.id, one.text)),
    one.facts.length > 0 && h("dl", { class: "facts card pad section" }, one.facts.map(([name, v]) => [h("dt", {}, visible(name)), h("dd", { dir: "auto" }, visible(String(v)))])),
  );
}

const textOf = (v) => (typeof v === "string" ? v : JSON.stringify(v, null, 2));
const turn = ([name, content]) => h("div", { class: "turn" }, h("p", { class: "soft small", dir: "auto" }, visible(name)), longText(textOf(content), { limit: 3000 }));

// A message's parts as turns: thinking, text, calls.
const partsOf = (m, name) =>
  [
    m.reasoning_content && [`${name}, thinking`, m.reasoning_content],
    (m.content || !m.tool_calls) && [name, m.content ?? m.refusal ?? ""],
    ...(m.tool_calls ?? []).map((c) => [`${name}, call`, c.function ? `${c.function.name} ${c.function.arguments}` : c]),
  ].filter(Boolean);

// ---- chat completions ----

async function ofChat({ id, signal, go }) {
  const [made, messages] = await Promise.all([api.get(uri`/v1/chat/completions/${id}`, { signal }), api.all(uri`/v1/chat/completions/${id}/messages`, {}, MOST_MESSAGES)]);
  const change = h("button", { type: "button", class: "quiet", on: { click: () => askMetadata(made, go) } }, "Metadata");
  return {
    model: made.model,
    created: made.created,
    call: { path: uri`/v1/chat/completions/${id}`, python: `print(client.chat.completions.retrieve(${JSON.stringify(id)}))` },
    asked: messages.flatMap((m) => partsOf(m, String(m.role ?? "?"))),
    answered: made.choices.flatMap((c) => partsOf(c.message, made.choices.length > 1 ? `answer ${c.index + 1}` : "answer")),
    text: made.choices[0]?.message.content ?? "",
    note: made.choices.some((c) => c.finish_reason === "length") ? "It was cut at the most tokens." : null,
    facts: [["Tokens read", count(made.usage.prompt_tokens)], ["Tokens written", count(made.usage.completion_tokens)], ...Object.entries(made.metadata ?? {})],
    actions: change,
    remove: () => api.del(uri`/v1/chat/completions/${id}`),
  };
}

function askMetadata(made, go) {
  const words = textarea({ rows: "6", class: "mono", spellcheck: "false", value: JSON.stringify(made.metadata ?? {}, null, 2) });
  const body = () => {
    try {
      return { metadata: JSON.parse(words.value) };
    } catch (e) {
      throw new Error(`This is no JSON: ${e.message}`);
    }
  };
  dialog({
    title: "Metadata",
    body: [
      field("As JSON", words, "Up to 16 short texts by which programs and evals find it: {\"topic\": \"genes\"}."),
      h("div", {}, callButton(() => ({ method: "POST", path: uri`/v1/chat/completions/${made.id}`, body: read(words.value) }))),
    ],
    actions: [
      { label: "Cancel" },
      {
        label: "Save",
        kind: "primary",
        run: async () => {
          await api.post(uri`/v1/chat/completions/${made.id}`, body());
          toast("The metadata is changed.");
          go(`stored/${encodeURIComponent(made.id)}`);
        },
      },
    ],
  });
}

// What the call would send; while it is no JSON yet, nothing.
function read(text) {
  try {
    return { metadata: JSON.parse(text) };
  } catch {
    return { metadata: {} };
  }
}

// ---- responses ----

const STATES = { queued: "It waits to be answered.", in_progress: "It is being answered.", incomplete: "It was cut at the most tokens.", cancelled: "It was cancelled.", failed: "It failed." };

// An item of a response as turns: a message, thinking, a call or its result.
function itemParts(item) {
  if (item.type === "message" || (item.type === undefined && item.role)) return [[item.role ?? "message", Array.isArray(item.content) ? item.content.map((p) => p.text ?? p.refusal ?? JSON.stringify(p)).join("\n") : item.content]];
  if (item.type === "reasoning") return [["thinking", (item.content?.length ? item.content : item.summary ?? []).map((p) => p.text).join("\n")]];
  if (item.type === "function_call") return [["call", `${item.name} ${item.arguments}`]];
  if (item.type === "function_call_output") return [["result", item.output]];
  return [[item.type ?? "item", item]];
}

async function ofResponse({ id, signal, go }) {
  const [made, items] = await Promise.all([api.get(uri`/v1/responses/${id}`, { signal }), api.all(uri`/v1/responses/${id}/input_items`, { order: "asc" }, MOST_MESSAGES)]);
  const stop = h("button", { type: "button", class: "quiet" }, "Cancel");
  stop.addEventListener("click", async () => {
    await api.post(uri`/v1/responses/${id}/cancel`);
    go(`stored/${encodeURIComponent(id)}`);
  });
  const answered = made.output.flatMap(itemParts);
  return {
    model: made.model,
    created: made.created_at,
    call: { path: uri`/v1/responses/${id}`, python: `print(client.responses.retrieve(${JSON.stringify(id)}).output_text)` },
    asked: [made.instructions && ["instructions", made.instructions], ...items.flatMap(itemParts)].filter(Boolean),
    answered,
    text: made.output.filter((x) => x.type === "message").flatMap(itemParts).map(([, text]) => text).join("\n"),
    note: made.error?.message ?? STATES[made.status] ?? null,
    facts: [["Tokens read", count(made.usage?.input_tokens)], ["Tokens written", count(made.usage?.output_tokens)], ...Object.entries(made.metadata ?? {})],
    actions: (made.status === "queued" || made.status === "in_progress") && stop,
    remove: () => api.del(uri`/v1/responses/${id}`),
  };
}
