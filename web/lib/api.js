// api.js - calls of this server's API, and the key they carry.
//
//   uri`/v1/files/${id}`                     a path; what is put in is encoded
//   get(path, {query, signal})              the answer's JSON          path: "/v1/files", or of uri
//   post(path, body, {signal, headers})     del(path)
//   page(path, query)                       one page of a list: {data, has_more, last_id}
//   all(path, query, most)                  the data of all pages, `most` at most (1,000)
//   text(path), blob(path)                  the answer as text, as a Blob
//   upload(path, form, {progress, signal})  a FormData; progress(0..1) while it goes
//   save(blob, name), download(path, name)  into the browser's downloads
//   open(path, {query, signal, headers})    the Response itself
//   request(path, {method, body, ...})      the same of any method, for api.js and stream.js alone
//   ApiError                                status, code, param, requestId; its message is the server's own sentence
//
// The key goes into the Authorization header and nowhere else. It is kept in sessionStorage, which ends with the tab; in localStorage
// where it was asked to be remembered. A server with anonymous access needs none.
//
//   key(), setKey(text, remember), forgetKey(), isRemembered()
//   project(), setProject(id)               another project than the key's own, for admin keys (the header OpenAI-Project)
//
//   calls()                                 what was called, each call once, the newest first: [{method, path, query, body, form}]
//
// Where a page calls one of these, the path stands there itself, as text or by uri: so tests/web/calls_test.py finds what the dashboard calls.

const KEY = "hone.key";
const PROJECT = "hone.project";

function stored(storage, name) {
  try {
    return storage().getItem(name);
  } catch {
    return null; // storage may be forbidden
  }
}

let currentKey = stored(() => sessionStorage, KEY) ?? stored(() => localStorage, KEY) ?? "";
let currentProject = stored(() => sessionStorage, PROJECT) ?? "";

export const key = () => currentKey;
export const isRemembered = () => stored(() => localStorage, KEY) !== null;
export const project = () => currentProject;

export function forgetKey() {
  currentKey = "";
  called.clear();
  try {
    sessionStorage.removeItem(KEY);
    localStorage.removeItem(KEY);
  } catch {
    // nothing was kept
  }
  setProject("");
}

export function setKey(text, remember) {
  forgetKey();
  currentKey = text.trim();
  try {
    (remember ? localStorage : sessionStorage).setItem(KEY, currentKey);
  } catch {
    // it holds until the page is loaded anew
  }
}

export function setProject(id) {
  currentProject = id;
  try {
    if (id) sessionStorage.setItem(PROJECT, id);
    else sessionStorage.removeItem(PROJECT);
  } catch {
    // as above
  }
}

export class ApiError extends Error {
  constructor(status, error, requestId) {
    super(error?.message ?? `the server answered with status ${status}`);
    this.status = status;
    this.code = error?.code ?? null;
    this.param = error?.param ?? null;
    this.requestId = requestId ?? null;
  }
}

function headers(more) {
  const all = new Headers(more ?? {});
  if (currentKey) all.set("Authorization", "Bearer " + currentKey);
  if (currentProject) all.set("OpenAI-Project", currentProject);
  return all;
}

// Only paths of this server: the key is never sent anywhere else.
function address(path, query) {
  if (!path.startsWith("/") || path.startsWith("//")) throw new Error("a path of this server begins with one slash");
  const words = new URLSearchParams();
  for (const [name, value] of Object.entries(query ?? {}))
    if (value !== undefined && value !== null && value !== "") words.append(name, value);
  const tail = words.toString();
  return tail ? `${path}?${tail}` : path;
}

export const uri = (parts, ...values) => parts.map((part, i) => (i === 0 ? "" : encodeURIComponent(values[i - 1])) + part).join("");

// ---- what was called ----

const MOST_CALLS = 50;
const called = new Map();

export const calls = () => [...called.values()].reverse();

function remember(call) {
  const words = Object.entries(call.query ?? {}).filter(([, v]) => v !== undefined && v !== null && v !== "");
  const name = [call.method, call.path, words.map(([k, v]) => `${k}=${v}`).join("&"), call.body ? JSON.stringify(call.body).slice(0, 2000) : ""].join(" ");
  called.delete(name); // what is asked again and again stands there once
  if (called.size === MOST_CALLS) called.delete(called.keys().next().value);
  called.set(name, call);
}

async function failure(response) {
  const body = await response.json().catch(() => null);
  return new ApiError(response.status, body?.error, response.headers.get("x-request-id"));
}

export async function request(path, { method = "GET", query, body, signal, headers: more } = {}) {
  remember({ method, path, query, body });
  const init = { method, signal, headers: headers(more), cache: "no-store", redirect: "error" };
  if (body !== undefined) {
    init.body = JSON.stringify(body);
    init.headers.set("Content-Type", "application/json");
  }
  let response;
  try {
    response = await fetch(address(path, query), init);
  } catch (e) {
    if (e.name === "AbortError") throw e;
    throw new ApiError(0, { message: "The server does not answer. Does hone serve still run, and is the network there?" });
  }
  if (!response.ok) throw await failure(response);
  return response;
}

export const open = (path, { query, signal, headers: more } = {}) => request(path, { query, signal, headers: more });
export const get = async (path, options) => (await open(path, options)).json();
export const post = async (path, body, options) => (await request(path, { body: body ?? {}, ...options, method: "POST" })).json();
export const del = async (path, options) => (await request(path, { ...options, method: "DELETE" })).json();
export const text = async (path, options) => (await open(path, options)).text();
export const blob = async (path, options) => (await open(path, options)).blob();
export const page = (path, query, options) => get(path, { ...options, query });

export async function all(path, query = {}, most = 1000) {
  const data = [];
  let after = query.after;
  for (;;) {
    const list = await page(path, { ...query, after, limit: query.limit ?? 100 });
    data.push(...list.data);
    after = list.last_id ?? list.data.at(-1)?.id;
    if (!list.has_more || !after || data.length >= most) return data;
  }
}

// XMLHttpRequest, for fetch does not tell how far an upload is.
export function upload(path, form, { progress, signal } = {}) {
  remember({ method: "POST", path, form: Object.fromEntries([...form].map(([name, v]) => [name, v instanceof Blob ? `@${v.name}` : v])) });
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    request.open("POST", address(path));
    for (const [name, value] of headers()) request.setRequestHeader(name, value);
    request.responseType = "json";
    request.upload.addEventListener("progress", (e) => e.lengthComputable && progress?.(e.loaded / e.total));
    request.addEventListener("load", () => {
      if (request.status >= 200 && request.status < 300) resolve(request.response);
      else reject(new ApiError(request.status, request.response?.error, request.getResponseHeader("x-request-id")));
    });
    request.addEventListener("error", () => reject(new ApiError(0, { message: "The upload was cut off: the server does not answer." })));
    request.addEventListener("abort", () => reject(new DOMException("given up", "AbortError")));
    signal?.addEventListener("abort", () => request.abort());
    request.send(form);
  });
}

export function save(content, name) {
  const url = URL.createObjectURL(content);
  const link = document.createElement("a");
  link.href = url;
  link.download = name;
  document.body.append(link);
  link.click();
  link.remove();
  setTimeout(() => URL.revokeObjectURL(url), 60000);
}

export const download = async (path, name, options) => save(await blob(path, options), name);
