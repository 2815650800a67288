// form.js - fields with their labels, and the choice of models that several pages offer.
//
//   field(label, control, hint)        a label, the control and a hint that is read with it; the control gets an id where it has none
//   input(attributes), select(options, value), textarea(attributes)
//        options: [[value, text], ...] or {label: [[value, text], ...]} for groups
//   takesFiles(box, input, take)       take(list of files) is called with those chosen by the input, and those dropped on the box
//   modelOptions(models)               groups for select()
//   models(signal)                     all that this key may use: {bases, tuned, checkpoints}; a checkpoint whose model was deleted stands among the tuned

import * as api from "./api.js";
import { h, visible } from "./dom.js";

let number = 0;

export function field(label, control, hint = null) {
  const id = control.id || `field-${++number}`;
  control.id = id;
  if (hint) control.setAttribute("aria-describedby", `${id}-hint`);
  return h("div", { class: "field" }, h("label", { htmlFor: id }, label), control, hint && h("p", { class: "hint", id: `${id}-hint` }, hint));
}

export const input = (attributes) => h("input", { type: "text", ...attributes });
export const textarea = (attributes) => h("textarea", { rows: "4", ...attributes });

export function select(options, value, attributes = {}) {
  const one = ([v, text]) => h("option", { value: v, selected: v === value }, visible(text));
  const children = Array.isArray(options)
    ? options.map(one)
    : Object.entries(options)
        .filter(([, list]) => list.length > 0)
        .map(([label, list]) => h("optgroup", { label }, list.map(one)));
  return h("select", attributes, children);
}

export function takesFiles(box, input, take) {
  input.addEventListener("change", () => take(input.files));
  for (const name of ["dragenter", "dragover"])
    box.addEventListener(name, (e) => {
      e.preventDefault();
      box.classList.add("over");
    });
  box.addEventListener("dragleave", (e) => !box.contains(e.relatedTarget) && box.classList.remove("over"));
  box.addEventListener("drop", (e) => {
    e.preventDefault();
    box.classList.remove("over");
    if (e.dataTransfer.files.length) take(e.dataTransfer.files);
  });
}

const CHECKPOINT = /:ckpt-step-\d+$/;

export async function models(signal) {
  const { data } = await api.get("/v1/models", { signal });
  const made = data.filter((m) => m.owned_by !== "system").reverse();
  const names = new Set(made.map((m) => m.id));
  const isPart = (m) => CHECKPOINT.test(m.id) && names.has(m.id.replace(CHECKPOINT, ""));
  return { bases: data.filter((m) => m.owned_by === "system"), tuned: made.filter((m) => !isPart(m)), checkpoints: made.filter(isPart) };
}

const named = (list) => list.map((m) => [m.id, m.id]);
export const modelOptions = ({ bases, tuned, checkpoints }) => ({ "Fine-tuned": named(tuned), Base: named(bases), Checkpoints: named(checkpoints) });
