// webhooks.js - addresses that are told when something ends: made, tried, changed, given a new secret, forgotten.

import * as api from "../lib/api.js";
import { uri } from "../lib/api.js";
import { callButton, copy } from "../lib/call.js";
import { confirm, dialog, toast } from "../lib/dialog.js";
import { h, icon, put, visible } from "../lib/dom.js";
import { field, input, select } from "../lib/form.js";
import { plural, timeElement } from "../lib/format.js";
import { table } from "../lib/table.js";

export const title = "Webhooks";

// "fine_tuning.job.succeeded" -> "Jobs: succeeded"
const KINDS = { "fine_tuning.job": "Jobs", "eval.run": "Runs of evals", response: "Responses" };
const kindOf = (type) => type.slice(0, type.lastIndexOf("."));
const words = (type) => `${KINDS[kindOf(type)] ?? kindOf(type)}: ${type.slice(type.lastIndexOf(".") + 1)}`;

export async function show(root, params) {
  const { data: types } = await api.get("/v1/webhook_event_types", { signal: params.signal });
  const lead = h("p", { class: "lead", role: "status" });
  const place = h("div", {});
  const make = h("button", { type: "button", class: "primary" }, icon("plus"), "New webhook");

  async function load() {
    const rows = await api.all("/v1/webhook_endpoints");
    put(lead, rows.length > 0 ? `${plural(rows.length, "address", "addresses")} of this project: told as soon as something ends, with a signature.` : "Programs of yours can be told as soon as a job, a run or a response ends.");
    put(place, endpointTable(rows, types, load));
  }

  make.addEventListener("click", () => edit(null, types, load));
  await load();
  root.append(
    h("div", { class: "head" }, h("div", {}, h("h1", {}, "Webhooks"), lead), h("div", { class: "actions" }, make, callButton(() => ({ path: "/v1/webhook_endpoints" })))),
    h("section", { class: "section", "aria-label": "All webhooks" }, place),
  );
}

function endpointTable(rows, types, again) {
  const button = (label, e, run) => h("button", { type: "button", class: "quiet small", "aria-label": `${label}: ${e.name}`, on: { click: () => run(e, types, again) } }, label);
  return table({
    caption: "Webhooks",
    rows,
    columns: [
      { name: "name", label: "Name", head: true, sort: (e) => e.name, cell: (e) => [h("span", { dir: "auto" }, visible(e.name)), h("span", { class: "id" }, e.id)] },
      { name: "url", label: "Address", grow: true, sort: (e) => e.url, cell: (e) => h("span", { class: "mono", dir: "auto" }, visible(e.url)) },
      { name: "types", label: "Told of", cell: (e) => (e.event_types.length === types.length ? "everything" : h("div", {}, e.event_types.map((t) => h("span", { class: "id" }, t)))) },
      { name: "secret", label: "Secret", wide: true, cell: (e) => h("span", { class: "mono" }, e.signing_secret_hint) },
      { name: "made", label: "Made", sort: (e) => e.created_at, cell: (e) => timeElement(e.created_at) },
      {
        name: "do",
        label: "Do",
        hideLabel: true,
        actions: true,
        cell: (e) => [
          button("Try", e, tryOut),
          button("Change", e, edit),
          button("New secret", e, rotate),
          h("button", { type: "button", class: "bare", title: "Delete", "aria-label": `Delete ${e.name}`, on: { click: () => remove(e, again) } }, icon("trash")),
        ],
      },
    ],
    empty: [h("h2", {}, "Nobody is told"), h("p", {}, "Give an address of a program of yours. It gets a POST with the event as JSON, signed as the official clients check it (client.webhooks.unwrap).")],
  }).element;
}

function edit(e, types, again) {
  const name = input({ required: true, maxlength: "200", value: e?.name ?? "", autocomplete: "off" });
  const url = input({ type: "url", required: true, maxlength: "2048", value: e?.url ?? "", placeholder: "https://example.org/hook", autocomplete: "off", spellcheck: "false" });
  const boxes = types.map((t) => h("input", { type: "checkbox", value: t, checked: e ? e.event_types.includes(t) : t.startsWith("fine_tuning.job.") }));
  const body = () => ({ name: name.value, url: url.value, event_types: boxes.filter((b) => b.checked).map((b) => b.value) });
  dialog({
    title: e ? "Change the webhook" : "New webhook",
    wide: true,
    body: [
      field("Name", name),
      field("Address", url, "http or https; reached from the server, not from this browser."),
      h("fieldset", { class: "stack tight" }, h("legend", {}, "Told of"), h("div", { class: "checks" }, types.map((t, i) => h("label", { class: "check" }, boxes[i], h("span", {}, words(t)))))),
      h("div", {}, callButton(() => ({ method: "POST", path: e ? uri`/v1/webhook_endpoints/${e.id}` : "/v1/webhook_endpoints", body: body() }))),
    ],
    actions: [
      { label: "Cancel" },
      {
        label: e ? "Save" : "Make it",
        kind: "primary",
        run: async () => {
          if (e) await api.post(uri`/v1/webhook_endpoints/${e.id}`, body());
          else tell(await api.post("/v1/webhook_endpoints", body()));
          if (e) toast("The webhook is changed.");
          await again();
        },
      },
    ],
  });
}

function tell(made) {
  dialog({
    title: "Its signing secret",
    body: [
      h("p", {}, "Copy it now: it is shown this once. With it your program proves that what it gets comes from here."),
      h("pre", { class: "code", tabindex: "0", role: "region", "aria-label": "The secret" }, made.signing_secret),
    ],
    actions: [{ label: "Close" }, { label: "Copy", kind: "primary", run: async () => (await copy(made.signing_secret), false) }],
  });
}

function tryOut(e) {
  const type = select(e.event_types.map((t) => [t, words(t)]), e.event_types[0]);
  const said = h("div", { role: "status" });
  const body = () => ({ event_type: type.value });
  dialog({
    title: "Try the webhook",
    body: [
      h("p", { dir: "auto" }, "The address gets an event of this kind that tells of nothing: ", h("span", { class: "mono" }, visible(e.url))),
      field("Event", type),
      said,
      h("div", {}, callButton(() => ({ method: "POST", path: uri`/v1/webhook_endpoints/${e.id}/test`, body: body() }))),
    ],
    actions: [
      { label: "Close" },
      {
        label: "Send it",
        kind: "primary",
        run: async () => {
          put(said);
          const answer = await api.post(uri`/v1/webhook_endpoints/${e.id}/test`, body());
          put(said, h("p", {}, h("span", { class: answer.success ? "chip good" : "chip bad" }, answer.success ? "taken" : "refused"), ` The address answered with status ${answer.status_code}.`));
          return false;
        },
      },
    ],
  });
}

function rotate(e, types, again) {
  const both = h("input", { type: "checkbox", checked: true });
  const body = () => ({ keep_old_secret_active_for_24_hours: both.checked });
  dialog({
    title: "Make a new secret?",
    body: [
      h("p", { dir: "auto" }, `What is sent to ${visible(e.name)} is signed with it from now on.`),
      h("label", { class: "check" }, both, "For 24 hours, sign with the old one as well"),
      h("div", {}, callButton(() => ({ method: "POST", path: uri`/v1/webhook_endpoints/${e.id}/rotate_secret`, body: body() }))),
    ],
    actions: [
      { label: "Cancel" },
      {
        label: "Make it",
        kind: "primary",
        run: async () => {
          tell(await api.post(uri`/v1/webhook_endpoints/${e.id}/rotate_secret`, body()));
          await again();
        },
      },
    ],
  });
}

async function remove(e, again) {
  if (!(await confirm({ title: "Delete this webhook?", text: h("p", { dir: "auto" }, `${visible(e.name)} (${visible(e.url)}) will be told nothing more.`), action: "Delete", danger: true, call: callButton(() => ({ method: "DELETE", path: uri`/v1/webhook_endpoints/${e.id}` })) }))) return;
  await api.del(uri`/v1/webhook_endpoints/${e.id}`);
  toast("The webhook is deleted.");
  await again();
}
