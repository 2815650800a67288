// members.js - who works with this server: projects, invitations of other organisations, admin keys, and the audit log.

import * as api from "../lib/api.js";
import { uri } from "../lib/api.js";
import { callButton, copy } from "../lib/call.js";
import { confirm, dialog, toast } from "../lib/dialog.js";
import { h, icon, put, visible } from "../lib/dom.js";
import { field, input } from "../lib/form.js";
import { bytes, time, timeElement } from "../lib/format.js";
import { keyTable, newKey } from "../lib/keys.js";
import { table } from "../lib/table.js";

export const title = "Members";

export async function show(root, params) {
  const parts = [projects, adminKeys, invites, auditLog].map((make) => make(params));
  root.append(h("div", { class: "head" }, h("div", {}, h("h1", {}, "Members"), h("p", { class: "lead" }, "Projects keep files, jobs, models and keys apart. What changes anything is written into the audit log."))));
  await Promise.all(parts.map((p) => p.load()));
  root.append(...parts.map((p) => p.element));
}

function part({ heading, note, actions = [], load }) {
  const place = h("div", {});
  const self = {
    element: h("section", { class: "section" }, h("div", { class: "head" }, h("div", {}, h("h2", {}, heading), h("p", { class: "soft" }, note)), h("div", { class: "actions" }, actions)), place),
    load: async () => put(place, await load(() => self.load())),
  };
  return self;
}

// ---- projects ----

function projects() {
  const make = h("button", { type: "button", class: "quiet" }, icon("plus"), "New project");
  const self = part({
    heading: "Projects",
    note: "Keys of a project see only what is in it.",
    actions: [make, callButton(() => ({ path: "/v1/organization/projects", command: "hone project list" }), "Call")],
    load: async (again) => projectTable(await api.all("/v1/organization/projects", { include_archived: true }), again),
  });
  make.addEventListener("click", () => askProject(null, self.load));
  return self;
}

function projectTable(rows, again) {
  return table({
    caption: "Projects",
    rows,
    columns: [
      { name: "name", label: "Name", head: true, grow: true, sort: (p) => p.name, cell: (p) => [h("span", { dir: "auto" }, visible(p.name)), h("span", { class: "id" }, p.id)] },
      { name: "status", label: "State", cell: (p) => h("span", { class: p.status === "active" ? "chip good" : "chip" }, p.status === "active" ? "open" : "closed") },
      { name: "quota", label: "Room for files", number: true, sort: (p) => p.quota_bytes, cell: (p) => (p.quota_bytes > 0 ? bytes(p.quota_bytes) : "no limit") },
      { name: "made", label: "Made", sort: (p) => p.created_at, cell: (p) => timeElement(p.created_at) },
      {
        name: "do",
        label: "Do",
        hideLabel: true,
        actions: true,
        cell: (p) =>
          p.status === "active" && [
            h("a", { class: "button quiet small", href: `#/keys?project=${encodeURIComponent(p.id)}`, "aria-label": `Keys of ${p.name}` }, "Keys"),
            h("button", { type: "button", class: "quiet small", "aria-label": `Change ${p.name}`, on: { click: () => askProject(p, again) } }, "Change"),
            h("button", { type: "button", class: "quiet small", "aria-label": `Close ${p.name}`, on: { click: () => archive(p, again) } }, "Close"),
          ],
      },
    ],
  }).element;
}

function askProject(p, again) {
  const name = input({ required: true, maxlength: "200", value: p?.name ?? "" });
  const quota = input({ type: "number", min: "0", step: "any", value: p?.quota_bytes ? p.quota_bytes / 1e9 : "", placeholder: "no limit" });
  const body = () => ({ name: name.value, quota_bytes: Math.round(1e9 * (Number(quota.value) || 0)) });
  dialog({
    title: p ? "Change the project" : "New project",
    body: [field("Name", name), field("Room for files, in GB", quota), h("div", {}, callButton(() => ({ method: "POST", path: p ? uri`/v1/organization/projects/${p.id}` : "/v1/organization/projects", body: body() })))],
    actions: [
      { label: "Cancel" },
      {
        label: p ? "Save" : "Make it",
        kind: "primary",
        run: async () => {
          if (p) await api.post(uri`/v1/organization/projects/${p.id}`, body());
          else await api.post("/v1/organization/projects", body());
          toast(p ? "The project is changed." : "The project is made.");
          await again();
        },
      },
    ],
  });
}

async function archive(p, again) {
  const sure = await confirm({ title: "Close this project for good?", text: h("p", {}, "The keys of ", visible(p.name), " stop. What it has stays, and nothing opens it again."), action: "Close it", danger: true, call: callButton(() => ({ method: "POST", path: uri`/v1/organization/projects/${p.id}/archive` })) });
  if (!sure) return;
  await api.post(uri`/v1/organization/projects/${p.id}/archive`);
  toast("The project is closed.");
  await again();
}

// ---- admin keys ----

function adminKeys() {
  const calls = {
    path: "/v1/organization/admin_api_keys",
    make: (body) => api.post("/v1/organization/admin_api_keys", body),
    revoke: (id) => api.del(uri`/v1/organization/admin_api_keys/${id}`),
  };
  const make = h("button", { type: "button", class: "quiet" }, icon("plus"), "New admin key");
  const self = part({
    heading: "Admin keys",
    note: "They may do everything in all projects of the organisation, this page included.",
    actions: [make, callButton(() => ({ path: calls.path }), "Call")],
    load: async (again) => keyTable({ caption: "Admin keys", keys: await api.all("/v1/organization/admin_api_keys"), calls, changed: again }),
  });
  make.addEventListener("click", () => newKey({ calls, changed: self.load, admin: true }));
  return self;
}

// ---- invitations ----

function invites() {
  const make = h("button", { type: "button", class: "quiet" }, icon("plus"), "Invite");
  const self = part({
    heading: "Invitations",
    note: "Whoever has the code of one makes an organisation of their own here, with a project and a key.",
    actions: [make, callButton(() => ({ path: "/v1/organization/invites" }), "Call")],
    load: async (again) => {
      let rows;
      try {
        rows = await api.all("/v1/organization/invites");
      } catch (e) {
        if (e.status !== 403) throw e;
        make.hidden = true;
        return h("p", { class: "soft" }, "Only the organisation that runs the server invites.");
      }
      return inviteTable(rows, again);
    },
  });
  make.addEventListener("click", () => askInvite(self.load));
  return self;
}

function inviteTable(rows, again) {
  const take = async (i) => {
    await api.del(uri`/v1/organization/invites/${i.id}`);
    toast("The invitation is taken back.");
    await again();
  };
  const words = { pending: "open", accepted: "accepted", expired: "too late" };
  return table({
    caption: "Invitations",
    rows,
    columns: [
      { name: "name", label: "Who", head: true, grow: true, cell: (i) => [h("span", { dir: "auto" }, visible(i.name || i.email)), i.name && i.email && h("span", { class: "id" }, visible(i.email))] },
      { name: "status", label: "State", cell: (i) => h("span", { class: i.status === "accepted" ? "chip good" : "chip" }, words[i.status] ?? i.status) },
      { name: "ends", label: "Ends", cell: (i) => timeElement(i.expires_at) },
      { name: "do", label: "Do", hideLabel: true, actions: true, cell: (i) => i.status === "pending" && h("button", { type: "button", class: "quiet small", "aria-label": `Take back the invitation of ${i.name || i.email}`, on: { click: () => take(i) } }, "Take back") },
    ],
    empty: [h("h3", {}, "Nobody is invited"), h("p", {}, "Another team gets projects, keys and models of its own by an invitation.")],
  }).element;
}

function askInvite(again) {
  const name = input({ maxlength: "200" });
  const email = input({ type: "email", maxlength: "320" });
  const days = input({ type: "number", min: "1", value: "7" });
  const body = () => ({ name: name.value || null, email: email.value || null, expires_in_days: Number(days.value) || 7 });
  dialog({
    title: "Invite an organisation",
    body: [field("Name", name), field("E-mail", email, "A note for you: nothing is sent."), field("Days until it ends", days), h("div", {}, callButton(() => ({ method: "POST", path: "/v1/organization/invites", body: body() })))],
    actions: [
      { label: "Cancel" },
      {
        label: "Invite",
        kind: "primary",
        run: async () => {
          const made = await api.post("/v1/organization/invites", body());
          tellCode(made.code);
          await again();
        },
      },
    ],
  });
}

function tellCode(code) {
  dialog({
    title: "The invitation\u2019s code",
    body: [h("p", {}, "Hand it to whom you invite; it is shown this once. They accept it here (\u201cAPI key\u201d, \u201cI have an invitation\u201d), or with:"), h("pre", { class: "code", tabindex: "0", role: "region", "aria-label": "How it is accepted" }, `curl ${location.origin}/v1/organization/invites/accept -H 'Content-Type: application/json' -d '{"code": "${code}"}'`)],
    actions: [{ label: "Close" }, { label: "Copy the code", kind: "primary", run: async () => (await copy(code), false) }],
  });
}

// ---- the audit log ----

function auditLog({ signal }) {
  let rows = [];
  const list = table({
    caption: "Audit log",
    columns: [
      { name: "when", label: "When", cell: (e) => h("time", { datetime: new Date(e.effective_at * 1000).toISOString() }, time(e.effective_at)) },
      { name: "what", label: "What", head: true, cell: (e) => h("span", { class: "mono" }, e.type) },
      { name: "target", label: "On", grow: true, cell: (e) => h("span", { class: "mono" }, e[e.type]?.id ?? "") },
      { name: "who", label: "By", cell: (e) => h("span", { class: "mono" }, e.actor?.api_key?.id ?? e.actor?.type ?? "") },
      { name: "from", label: "From", wide: true, cell: (e) => e.ip_address ?? "" },
      { name: "outcome", label: "Outcome", cell: (e) => h("span", { class: e.outcome === "ok" ? "chip good" : "chip bad" }, e.outcome) },
    ],
    empty: [h("h3", {}, "Nothing is logged"), h("p", {}, "Uploads, jobs, keys: whatever changes something will stand here.")],
  });
  async function fill(more) {
    const page = await api.page("/v1/organization/audit_logs", { limit: 20, after: more ? rows.at(-1).id : undefined }, { signal });
    rows = more ? [...rows, ...page.data] : page.data;
    list.update(rows, { more: page.has_more ? () => fill(true) : null });
  }
  return part({
    heading: "Audit log",
    note: "Who did what, the newest first.",
    actions: [callButton(() => ({ path: "/v1/organization/audit_logs" }), "Call")],
    load: async () => {
      await fill(false);
      return list.element;
    },
  });
}
