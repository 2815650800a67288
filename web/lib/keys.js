// keys.js - API keys as a table, and the dialogs that make, change and revoke them. For the pages of keys and of members.
//
//   keyTable({caption, keys, calls, changed})   an element; changed() is called after each change. Keys can be changed where calls has a way
//   newKey({calls, changed, admin})             asks for name, scope and limits, then tells the key once
//        calls: {path, make: (body) =>, change: (id, body) =>, revoke: (id) =>}, where keys of this kind are

import { callButton, copy } from "./call.js";
import { confirm, dialog, toast } from "./dialog.js";
import { h, icon, visible } from "./dom.js";
import { field, input, select } from "./form.js";
import { count, timeElement } from "./format.js";
import { table } from "./table.js";

const SCOPES = [
  ["train", "Train and use: files, jobs, evals, answers"],
  ["use", "Use only: answers of models"],
];
const DAYS = [
  ["", "Never"],
  ["7", "In a week"],
  ["30", "In 30 days"],
  ["365", "In a year"],
];
const WORDS = { use: "use", train: "train and use", admin: "admin" };
const strongest = (k) => ["admin", "train", "use"].find((s) => k.scopes.includes(s)) ?? "use";

export function keyTable({ caption, keys, calls, changed }) {
  return table({
    caption,
    rows: keys,
    columns: [
      { name: "name", label: "Name", head: true, grow: true, sort: (k) => k.name, cell: (k) => [h("span", { dir: "auto" }, visible(k.name)), h("span", { class: "id" }, k.redacted_value)] },
      { name: "may", label: "May", sort: strongest, cell: (k) => WORDS[strongest(k)] },
      { name: "limits", label: "Limits", cell: limits },
      { name: "used", label: "Last used", sort: (k) => k.last_used_at, cell: (k) => timeElement(k.last_used_at) },
      { name: "expires", label: "Ends", sort: (k) => k.expires_at, cell: (k) => (k.expires_at ? timeElement(k.expires_at) : "never") },
      {
        name: "do",
        label: "Do",
        hideLabel: true,
        actions: true,
        cell: (k) => [
          calls.change && h("button", { type: "button", class: "quiet small", "aria-label": `Change ${k.name}`, on: { click: () => change(k, calls, changed) } }, "Change"),
          h("button", { type: "button", class: "bare", title: "Revoke", "aria-label": `Revoke ${k.name}`, on: { click: () => revoke(k, calls, changed) } }, icon("trash")),
        ],
      },
    ],
    empty: [h("h2", {}, "No keys yet"), h("p", {}, "Make one for each program or person, so that it can be taken back alone.")],
  }).element;
}

function limits(k) {
  const parts = [k.requests_per_minute > 0 && `${count(k.requests_per_minute)} a minute`, k.concurrent_requests > 0 && `${count(k.concurrent_requests)} at once`].filter(Boolean);
  return parts.join(", ") || "the server\u2019s";
}

async function revoke(k, calls, changed) {
  const sure = await confirm({ title: "Revoke this key?", text: h("p", {}, visible(k.name), ` (${k.redacted_value}) will be refused from now on, within five seconds.`), action: "Revoke", danger: true, call: callButton(() => ({ method: "DELETE", path: `${calls.path}/${encodeURIComponent(k.id)}` })) });
  if (!sure) return;
  await calls.revoke(k.id);
  toast("The key is revoked.");
  await changed();
}

function fieldsOf(k = null, admin = false) {
  const name = input({ required: true, maxlength: "200", value: k?.name ?? "", autocomplete: "off" });
  const scope = select(SCOPES, k ? strongest(k) : "train");
  const minute = input({ type: "number", min: "0", max: "1000000000", value: k?.requests_per_minute || "", placeholder: "the server\u2019s" });
  const once = input({ type: "number", min: "0", max: "1000000000", value: k?.concurrent_requests || "", placeholder: "the server\u2019s" });
  const days = select(DAYS, "");
  return {
    element: h("div", { class: "stack" }, field("Name", name, "Who or what uses it: \u201claptop\u201d, \u201cnightly job\u201d."), !admin && field("It may", scope), h("div", { class: "fields" }, field("Requests a minute", minute), field("Requests at once", once)), !k && field("It ends", days)),
    body: () => ({
      name: name.value,
      ...(admin ? {} : { scopes: [scope.value] }),
      requests_per_minute: Number(minute.value) || 0,
      concurrent_requests: Number(once.value) || 0,
      ...(days.value ? { expires_in_seconds: Number(days.value) * 86400 } : {}),
    }),
  };
}

export function newKey({ calls, changed, admin = false }) {
  const fields = fieldsOf(null, admin);
  dialog({
    title: admin ? "New admin key" : "New key",
    body: [fields.element, h("div", {}, callButton(() => ({ method: "POST", path: calls.path, body: fields.body(), command: "hone key create" })))],
    actions: [
      { label: "Cancel" },
      {
        label: "Make it",
        kind: "primary",
        run: async () => {
          const made = await calls.make(fields.body());
          tell(made);
          await changed();
        },
      },
    ],
  });
}

function tell(made) {
  dialog({
    title: "Your new key",
    body: [h("p", {}, "Copy it now: it is shown this once, and the server keeps only its hash."), h("pre", { class: "code", tabindex: "0", role: "region", "aria-label": "The key" }, made.value)],
    actions: [
      { label: "Close" },
      { label: "Copy", kind: "primary", run: async () => (await copy(made.value), false) },
    ],
  });
}

function change(k, calls, changed) {
  const fields = fieldsOf(k);
  dialog({
    title: "Change the key",
    body: [fields.element, h("div", {}, callButton(() => ({ method: "POST", path: `${calls.path}/${encodeURIComponent(k.id)}`, body: fields.body() })))],
    actions: [
      { label: "Cancel" },
      {
        label: "Save",
        kind: "primary",
        run: async () => {
          await calls.change(k.id, fields.body());
          toast("The key is changed.");
          await changed();
        },
      },
    ],
  });
}
