// keys.js - the API keys of a project: made, changed, revoked. An admin key sees all projects of its organisation.

import * as api from "../lib/api.js";
import { uri } from "../lib/api.js";
import { callButton } from "../lib/call.js";
import { h, put, visible } from "../lib/dom.js";
import { field, select } from "../lib/form.js";
import { plural } from "../lib/format.js";
import { keyTable, newKey } from "../lib/keys.js";

export const title = "Keys";

export async function show(root, params) {
  const { query, setQuery } = params;
  const projects = await api.all("/v1/organization/projects");
  const chosen = projects.find((p) => p.id === query.project) ?? projects[0];
  const choice = select(projects.map((p) => [p.id, p.name]), chosen?.id);
  const project = () => choice.value;
  const calls = () => ({
    path: uri`/v1/organization/projects/${project()}/api_keys`,
    make: (body) => api.post(uri`/v1/organization/projects/${project()}/api_keys`, body),
    change: (id, body) => api.post(uri`/v1/organization/projects/${project()}/api_keys/${id}`, body),
    revoke: (id) => api.del(uri`/v1/organization/projects/${project()}/api_keys/${id}`),
  });
  const place = h("div", {});
  const lead = h("p", { class: "lead", role: "status" });
  const make = h("button", { type: "button", class: "primary" }, "New key");

  async function load() {
    const keys = await api.all(uri`/v1/organization/projects/${project()}/api_keys`);
    put(lead, `${plural(keys.length, "key")} of the project ${visible(projects.find((p) => p.id === choice.value)?.name ?? "")}.`);
    put(place, keyTable({ caption: "Keys", keys, calls: calls(), changed: load }));
  }

  make.addEventListener("click", () => newKey({ calls: calls(), changed: load }));
  choice.addEventListener("change", () => {
    setQuery({ project: choice.value });
    load();
  });
  await load();
  root.append(
    h(
      "div",
      { class: "head" },
      h("div", {}, h("h1", {}, "Keys"), lead),
      h("div", { class: "actions" }, make, callButton(() => ({ path: calls().path, command: "hone key list" }))),
    ),
    projects.length > 1 ? h("div", { class: "fields" }, field("Project", choice)) : "",
    h("section", { class: "section", "aria-label": "All keys" }, place),
    h("p", { class: "soft" }, "Admin keys, as the first one of the server is, stand on the page ", h("a", { href: "#/members" }, "Members"), "."),
  );
}
