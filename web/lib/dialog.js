// dialog.js - questions, notices and messages, on the browser's own <dialog>.
//
//   confirm({title, text, action, danger, call})   true where the action was chosen; call: a button that shows the call (call.js)
//   dialog({title, body, actions, wide})         opens one; returns {element, close(), closed (a promise)}
//        actions: [{label, kind: "primary" | "danger" | "quiet", run}]; run may be async, an error of it is shown inside and the dialog stays
//   toast(text, kind)                            a short message at the edge, read out as well; kind "error" stays until it is closed
//   announce(text)                               read out only
//   errorBox(error)                              the server's sentence, as an element

import { $, h, icon, put } from "./dom.js";

let number = 0;

export function dialog({ title, body, actions = [], wide = false }) {
  const id = `dialog-${++number}`;
  const errors = h("div", {});
  const element = h("dialog", { class: wide ? "dialog wide" : "dialog", "aria-labelledby": id });
  const close = () => element.open && element.close();
  const buttons = actions.map(({ label, kind = "quiet", run }) => {
    const button = h("button", { type: "button", class: kind }, label);
    button.addEventListener("click", async () => {
      put(errors);
      button.disabled = true;
      try {
        if ((await run?.()) !== false) close();
      } catch (e) {
        put(errors, errorBox(e));
      }
      button.disabled = false;
    });
    return button;
  });
  put(
    element,
    h("header", {}, h("h2", { id }, title), h("button", { type: "button", class: "bare", "aria-label": "Close", on: { click: close } }, icon("close"))),
    h("div", { class: "dialog-body" }, body, errors),
    buttons.length > 0 && h("footer", {}, buttons),
  );
  const closed = new Promise((resolve) =>
    element.addEventListener("close", () => {
      element.remove();
      resolve();
    }),
  );
  element.addEventListener("click", (e) => e.target === element && close()); // beside it
  document.body.append(element);
  element.showModal();
  return { element, close, closed };
}

export async function confirm({ title, text, action, danger = false, call = null }) {
  let chosen = false;
  const box = dialog({
    title,
    body: [typeof text === "string" ? h("p", {}, text) : text, call && h("div", {}, call)],
    actions: [
      { label: "Cancel", kind: "quiet" },
      { label: action, kind: danger ? "danger" : "primary", run: () => void (chosen = true) },
    ],
  });
  await box.closed;
  return chosen;
}

export function announce(text) {
  const status = $("#status");
  status.textContent = "";
  setTimeout(() => (status.textContent = text), 50); // the same text again is news, too
}

export function toast(text, kind = "done") {
  const box = h("div", { class: `toast ${kind}` }, h("span", { dir: "auto" }, text));
  box.append(h("button", { type: "button", class: "bare", "aria-label": "Close this message", on: { click: () => box.remove() } }, icon("close")));
  $("#toasts").append(box);
  announce(text);
  if (kind !== "error") setTimeout(() => box.remove(), 6000);
}

export function errorBox(error) {
  return h(
    "div",
    { class: "notice error", role: "alert" },
    h("p", { dir: "auto" }, sentence(error)),
    error?.requestId && error.status >= 500 && h("p", { class: "soft" }, `The server's log names it ${error.requestId}.`),
  );
}

export function sentence(error) {
  const message = String(error?.message ?? error);
  // a word begins large, a name ("cases.jsonl, line 3") is as it is
  const text = /^[a-z]+[\s,;]/.test(message) ? message.charAt(0).toUpperCase() + message.slice(1) : message;
  return /[.?!:)\]]$/.test(text) ? text : text + ".";
}
