// app.js - starts the dashboard: which pages there are, which one the address asks for, the key, the theme.
//
// A page is a module with `title` and `async show(root, params)`; what show returns is called when the page ends, to stop its streams and timers.
// params: what stands for each :name of the address, `query` (an object), `signal` (aborted when the page ends), and
// `go(address)`, `setQuery(changes)` (changes the address without showing the page anew).

import * as api from "./lib/api.js";
import { $, h, put, visible } from "./lib/dom.js";
import { copy, showCalls } from "./lib/call.js";
import { announce, dialog, errorBox, toast } from "./lib/dialog.js";
import { field, input } from "./lib/form.js";
import { repaintCharts } from "./lib/chart.js";

// Only what works is listed. menu: its name among the pages, in a group; without one it is reached from another page.
const PAGES = [
  { path: "jobs", module: "jobs", menu: "Jobs", group: "Training" },
  { path: "new-job", module: "new_job", menu: "New job", group: "Training" },
  { path: "compare", module: "compare" },
  { path: "jobs/:id", module: "job" },
  { path: "jobs/:id/answers", module: "answers" },
  { path: "jobs/:id/answers/:rollout", module: "answer" },
  { path: "jobs/:id/rows", module: "rows" },
  { path: "jobs/:id/rows/:split/:item", module: "row" },
  { path: "files", module: "files", menu: "Files", group: "Data" },
  { path: "files/:id", module: "file" },
  { path: "models", module: "models", menu: "Models", group: "Models" },
  { path: "models/:id", module: "model" },
  { path: "playground", module: "playground", menu: "Playground", group: "Models" },
  { path: "stored", module: "stored", menu: "Stored answers", group: "Models" },
  { path: "stored/:id", module: "stored_one" },
  { path: "feedback", module: "feedback", menu: "Feedback", group: "Models" },
  { path: "evals", module: "evals", menu: "Evals", group: "Models" },
  { path: "evals/new", module: "eval_new" },
  { path: "evals/:id", module: "eval" },
  { path: "webhooks", module: "webhooks", menu: "Webhooks", group: "Server" },
  { path: "keys", module: "keys", menu: "Keys", group: "Server" },
  { path: "members", module: "members", menu: "Members", group: "Server" },
  { path: "workers", module: "workers", menu: "Workers", group: "Server" },
  { path: "machine", module: "machine", menu: "Machine", group: "Server" },
];
const HOME = "jobs";

const main = $("#main");
let ending = null; // of the page that is shown: {abort, end}
let turn = 0;

// ---- addresses ----

function parse(hash) {
  const [path, words] = hash.replace(/^#\/?/, "").split("?");
  return { parts: path.split("/").filter(Boolean).map(decode), query: Object.fromEntries(new URLSearchParams(words ?? "")) };
}

function decode(part) {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}

function find(parts) {
  for (const page of PAGES) {
    const want = page.path.split("/");
    if (want.length !== parts.length) continue;
    const params = {};
    if (want.every((w, i) => (w.startsWith(":") ? (params[w.slice(1)] = parts[i]) : w === parts[i]))) return { page, params };
  }
  return null;
}

const go = (address) => {
  const hash = address.startsWith("#") ? address : "#/" + address;
  if (location.hash === hash) route();
  else location.hash = hash;
};

function setQuery(changes) {
  const { parts, query } = parse(location.hash);
  const words = new URLSearchParams();
  for (const [name, value] of Object.entries({ ...query, ...changes })) if (value !== null && value !== undefined && value !== "") words.set(name, value);
  const tail = words.toString();
  history.replaceState(null, "", "#/" + parts.map(encodeURIComponent).join("/") + (tail ? "?" + tail : ""));
}

// ---- showing a page ----

function endPage() {
  ending?.abort.abort();
  try {
    ending?.end?.();
  } catch (e) {
    console.error(e);
  }
  ending = null;
  document.querySelectorAll("dialog[open]").forEach((d) => d.close());
}

async function route() {
  const mine = ++turn;
  const { parts, query } = parse(location.hash);
  if (parts.length === 0) return go(HOME);
  const found = find(parts);
  endPage();
  closeMenu();
  markMenu(parts[0]);
  if (!found) return showNothing();
  const abort = new AbortController();
  const current = (ending = { abort, end: null });
  const root = h("div", { class: "page" });
  put(main, root);
  main.setAttribute("aria-busy", "true");
  try {
    const module = await import(`./pages/${found.page.module}.js`);
    if (mine !== turn) return;
    const params = { ...found.params, query, signal: abort.signal, go, setQuery };
    setTitle(typeof module.title === "function" ? module.title(params) : module.title);
    const end = await module.show(root, params);
    if (mine === turn) current.end = end;
    else end?.();
  } catch (e) {
    if (mine === turn && e.name !== "AbortError") showFailure(root, e);
  } finally {
    if (mine === turn) main.removeAttribute("aria-busy");
  }
  if (mine === turn) arrive();
}

function setTitle(title) {
  document.title = `${title} \u2013 hone`;
}

let first = true;
// A new page begins at its heading, for keyboards and screen readers as well.
function arrive() {
  const heading = $("h1", main);
  if (first) {
    first = false;
    return;
  }
  scrollTo(0, 0);
  if (document.activeElement && document.activeElement !== document.body && main.contains(document.activeElement)) return;
  heading?.setAttribute("tabindex", "-1");
  (heading ?? main).focus({ preventScroll: true });
}

function showNothing() {
  setTitle("Not found");
  put(main, h("div", { class: "page" }, h("h1", {}, "There is nothing at this address"), h("p", { class: "lead" }, "Choose a page from the menu.")));
}

function showFailure(root, error) {
  if (error.status === 401) return askKey(root, error);
  if (!(error instanceof api.ApiError)) console.error(error);
  const again = h("button", { type: "button", class: "primary", on: { click: route } }, "Try again");
  const heading = $("h1", root) ?? h("h1", {}, "This page could not be shown");
  put(root, heading, errorBox(error), error.status === 403 && needsOtherKey(), h("p", { class: "actions" }, again));
}

const needsOtherKey = () =>
  h("p", {}, "Another key may: ", h("button", { type: "button", class: "quiet", on: { click: () => askKey(main.firstElementChild) } }, "enter another key"));

// ---- the key ----

function askKey(root, error = null) {
  setTitle("API key");
  const secret = h("input", { type: "password", id: "api-key", autocomplete: "off", spellcheck: "false", required: true, placeholder: "sk-\u2026", "aria-describedby": "api-key-note" });
  const remember = h("input", { type: "checkbox", id: "remember", checked: api.isRemembered() });
  const wrong = h("div", {});
  const form = h(
    "form",
    { class: "card key-form" },
    h("h1", {}, "Your API key"),
    h("p", { id: "api-key-note", class: "soft" }, "The first one was printed when the server was started for the first time; ", h("code", {}, "hone key create"), " makes another on the server\u2019s machine. It stays in this tab and is sent to this server alone."),
    wrong,
    h("label", { htmlFor: "api-key" }, "Key"),
    secret,
    h("label", { class: "check" }, remember, "Remember it on this computer"),
    h("p", { class: "actions" }, h("button", { type: "submit", class: "primary" }, "Go on"), h("button", { type: "button", class: "quiet", on: { click: () => askCode(remember.checked) } }, "I have an invitation"), api.key() && h("button", { type: "button", class: "quiet", on: { click: leave } }, "Forget the key that is here")),
  );
  if (error && api.key()) put(wrong, errorBox(error));
  form.addEventListener("submit", async (e) => {
    e.preventDefault();
    put(wrong);
    const before = [api.key(), api.isRemembered()];
    api.setKey(secret.value, remember.checked);
    try {
      await api.get("/v1/models");
    } catch (refused) {
      if (refused.status !== 403) {
        api.setKey(before[0], before[1]);
        put(wrong, errorBox(refused));
        secret.focus();
        return;
      }
    }
    announce("The key is accepted.");
    showKey();
    route();
  });
  put(root, form);
  secret.focus();
}

// An invitation's code makes an organisation with a key, which is used from then on.
function askCode(remember) {
  const code = input({ required: true, autocomplete: "off", spellcheck: "false", maxlength: "256" });
  dialog({
    title: "Accept an invitation",
    body: field("Its code", code, "It makes an organisation of your own here, with a project and a key."),
    actions: [
      { label: "Cancel" },
      {
        label: "Accept it",
        kind: "primary",
        run: async () => {
          const made = await api.post("/v1/organization/invites/accept", { code: code.value.trim() });
          api.setKey(made.api_key, remember);
          showKey();
          await route();
          tellKey(made);
        },
      },
    ],
  });
}

function tellKey(made) {
  dialog({
    title: "Your key",
    body: [
      h("p", { dir: "auto" }, `The organisation ${visible(made.organization.name)} is made, and this tab uses its key. Copy it now: it is shown this once, and the server keeps only its hash.`),
      h("pre", { class: "code", tabindex: "0", role: "region", "aria-label": "The key" }, made.api_key),
    ],
    actions: [{ label: "Close" }, { label: "Copy", kind: "primary", run: async () => (await copy(made.api_key), false) }],
  });
}

function leave() {
  api.forgetKey();
  showKey();
  toast("The key is forgotten.");
  route();
}

function showKey() {
  const k = api.key();
  $("#key").textContent = k ? `Key \u2026${k.slice(-4)}` : "API key";
}

// ---- the menu ----

function makeMenu() {
  const groups = [...new Set(PAGES.filter((p) => p.menu).map((p) => p.group))];
  put(
    $("#nav"),
    groups.map((group) => [
      group && h("p", { class: "nav-group", id: `nav-${group.toLowerCase()}` }, group),
      h(
        "ul",
        group ? { "aria-labelledby": `nav-${group.toLowerCase()}` } : {},
        PAGES.filter((p) => p.menu && p.group === group).map((p) => h("li", {}, h("a", { href: `#/${p.path}`, data: { page: p.path } }, p.menu))),
      ),
    ]),
  );
}

function markMenu(name) {
  for (const link of document.querySelectorAll("#nav a")) {
    const here = link.dataset.page === name || parse(location.hash).parts.join("/") === link.dataset.page;
    if (here) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
}

function closeMenu() {
  $("#side").classList.remove("open");
  $("#menu").setAttribute("aria-expanded", "false");
}

// ---- the theme ----

const THEMES = { system: "System", light: "Light", dark: "Dark" };

function showTheme() {
  const theme = document.documentElement.dataset.theme ?? "system";
  $("#theme").textContent = `Theme: ${THEMES[theme].toLowerCase()}`;
}

function nextTheme() {
  const names = Object.keys(THEMES);
  const next = names[(names.indexOf(document.documentElement.dataset.theme ?? "system") + 1) % names.length];
  if (next === "system") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = next;
  try {
    if (next === "system") localStorage.removeItem("hone.theme");
    else localStorage.setItem("hone.theme", next);
  } catch {
    // it holds until the page is loaded anew
  }
  showTheme();
  repaintCharts();
}

// ---- start ----

makeMenu();
showKey();
showTheme();
$("#theme").addEventListener("click", nextTheme);
$("#calls").addEventListener("click", showCalls);
$("#key").addEventListener("click", () => {
  endPage();
  turn++;
  main.removeAttribute("aria-busy");
  const root = h("div", { class: "page" });
  put(main, root);
  askKey(root);
});
$("#menu").addEventListener("click", () => {
  const open = $("#side").classList.toggle("open");
  $("#menu").setAttribute("aria-expanded", String(open));
});
$("#side").addEventListener("keydown", (e) => {
  if (e.key === "Escape" && $("#side").classList.contains("open")) {
    closeMenu();
    $("#menu").focus();
  }
});
$("#skip").addEventListener("click", (e) => {
  e.preventDefault(); // the hash is the address of a page
  main.focus();
});
addEventListener("hashchange", route);
addEventListener("unhandledrejection", (e) => {
  if (e.reason?.name === "AbortError") return e.preventDefault();
  if (e.reason instanceof api.ApiError) {
    e.preventDefault();
    toast(e.reason.message, "error");
  }
});
route();
