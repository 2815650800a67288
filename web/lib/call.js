// call.js - the call that does what a page does: "Copy as curl / Python / command".
//
//   callButton(() => ({method, path, body, form, query, python, command}))
//        a button that opens it; asked anew each time, so that it tells what the form holds now
//          path, method, body   what goes over the wire; form: {field: "text" or "@file"} of an upload
//          python               lines that use the openai client, which stands there as `client`; left out: httpx
//          command              the hone command, where there is one
//   asCurl(call), asPython(call)   the texts
//   showCalls()                    all that the dashboard has called so far, deletions too, each to be shown so
//
// The key is never in them: they take it from OPENAI_API_KEY.

import { h, icon, put, visible } from "./dom.js";
import { cut } from "./format.js";
import { dialog, toast } from "./dialog.js";
import { calls, key } from "./api.js";

const quote = (text) => (/^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`);

function target({ path, query }) {
  const words = new URLSearchParams(Object.entries(query ?? {}).filter(([, v]) => v !== undefined && v !== null && v !== "")).toString();
  return path + (words ? `?${words}` : "");
}

export function asCurl(call) {
  const lines = [`curl ${quote(location.origin + target(call))}`];
  const method = call.method ?? "GET";
  if (method !== "GET" && !(method === "POST" && (call.body || call.form))) lines.push(`-X ${method}`);
  if (key()) lines.push('-H "Authorization: Bearer $OPENAI_API_KEY"');
  if (call.body) lines.push("-H 'Content-Type: application/json'", `-d ${quote(JSON.stringify(call.body, null, 2))}`);
  for (const [name, value] of Object.entries(call.form ?? {})) lines.push(`-F ${quote(`${name}=${value}`)}`);
  return lines.join(" \\\n  ");
}

// JSON as Python writes it.
export function pythonOf(value, indent = 0) {
  const pad = " ".repeat(indent + 4);
  const end = " ".repeat(indent);
  if (value === null || value === undefined) return "None";
  if (value === true) return "True";
  if (value === false) return "False";
  if (typeof value !== "object") return JSON.stringify(value);
  const items = Array.isArray(value)
    ? value.map((v) => pad + pythonOf(v, indent + 4))
    : Object.entries(value).map(([k, v]) => `${pad}${JSON.stringify(k)}: ${pythonOf(v, indent + 4)}`);
  const [open, close] = Array.isArray(value) ? "[]" : "{}";
  return items.length ? `${open}\n${items.join(",\n")},\n${end}${close}` : open + close;
}

export function asPython(call) {
  const secret = key() ? 'os.environ["OPENAI_API_KEY"]' : '"none"';
  if (call.python)
    return `${key() ? "import os\n" : ""}import openai\n\nclient = openai.OpenAI(base_url="${location.origin}/v1", api_key=${secret})\n${call.python}`;
  const method = (call.method ?? "GET").toLowerCase();
  const more = [];
  if (key()) more.push(`    headers={"Authorization": "Bearer " + ${secret}},`);
  if (call.body) more.push(`    json=${pythonOf(call.body, 4)},`);
  return `${key() ? "import os\n" : ""}import httpx\n\nanswer = httpx.${method}(\n    "${location.origin}${target(call)}",\n${more.map((m) => m + "\n").join("")})\nprint(answer.raise_for_status().json())`;
}

export function showCall(call) {
  const kinds = [
    ["curl", asCurl(call)],
    ["Python", asPython(call)],
    call.command && ["Command", call.command],
  ].filter(Boolean);
  const code = h("pre", { class: "code", tabindex: "0", role: "region", "aria-label": "The call" });
  const tabs = kinds.map(([name], i) => h("button", { type: "button", class: "tab", "aria-pressed": "false", on: { click: () => choose(i) } }, name));
  let chosen = 0;
  function choose(i) {
    chosen = i;
    tabs.forEach((t, k) => t.setAttribute("aria-pressed", String(k === i)));
    put(code, kinds[i][1]);
  }
  choose(0);
  dialog({
    title: "The call that does this",
    wide: true,
    body: [
      h("div", { class: "tabs", role: "group", "aria-label": "Written as" }, tabs),
      code,
      key() && h("p", { class: "soft" }, "The key comes from the variable OPENAI_API_KEY; it is not in the text."),
    ],
    actions: [
      {
        label: "Copy",
        kind: "primary",
        run: async () => {
          await copy(kinds[chosen][1]);
          return false;
        },
      },
    ],
  });
}

export function showCalls() {
  const all = calls();
  dialog({
    title: "What this dashboard has called",
    wide: true,
    body: [
      h("p", { class: "soft" }, all.length > 0 ? "The newest first, each once. Choose one to see it as curl and as Python." : "Nothing so far."),
      h("ul", { class: "stack tight" }, all.map((call) => h("li", {}, h("button", { type: "button", class: "link mono", dir: "auto", on: { click: () => showCall(call) } }, visible(cut(`${call.method} ${target(call)}`, 160)))))),
    ],
  });
}

export async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
    toast("Copied.");
  } catch {
    toast("The browser does not let this page copy: select the text and copy it by hand.", "error");
  }
}

export function callButton(make, label = "Show the call") {
  return h("button", { type: "button", class: "quiet", on: { click: () => showCall(make()) } }, icon("code"), label);
}
