// feedback.js - what people say of an answer: thumb, correction, comment.
//
//   feedbackBar(objectId, text)   buttons below a stored answer (chatcmpl-... or resp_...); text: the answer, to begin a correction with
//   POSTs /v1/feedback; each thing said is a record of its own, and a thumb that is pressed again is taken back.

import * as api from "./api.js";
import { uri } from "./api.js";
import { callButton } from "./call.js";
import { dialog, errorBox, toast } from "./dialog.js";
import { h, icon, put } from "./dom.js";
import { field, textarea } from "./form.js";

export function feedbackBar(objectId, text) {
  const wrong = h("div", {});
  let current = null; // {rating, id} of the thumb that is pressed
  const thumbs = ["up", "down"].map((rating) => {
    const label = rating === "up" ? "Good answer" : "Bad answer";
    const button = h("button", { type: "button", class: "bare", "aria-pressed": "false", "aria-label": label, title: label }, icon(rating));
    button.addEventListener("click", () => press(rating).catch((e) => put(wrong, errorBox(e))));
    return [rating, button];
  });

  async function press(rating) {
    put(wrong);
    const before = current;
    current = null;
    if (before) await api.del(uri`/v1/feedback/${before.id}`);
    if (before?.rating !== rating) {
      const made = await api.post("/v1/feedback", { object_id: objectId, rating });
      current = { rating, id: made.id };
    }
    for (const [name, button] of thumbs) button.setAttribute("aria-pressed", String(current?.rating === name));
  }

  const say = (kind) => ask(objectId, kind, kind === "correction" ? text : "");
  return h(
    "div",
    { class: "feedback" },
    h(
      "div",
      { class: "actions", role: "group", "aria-label": "What do you say of this answer?" },
      thumbs.map(([, b]) => b),
      h("button", { type: "button", class: "quiet small", on: { click: () => say("correction") } }, "Correct it"),
      h("button", { type: "button", class: "quiet small", on: { click: () => say("comment") } }, "Comment"),
    ),
    wrong,
  );
}

function ask(objectId, kind, text) {
  const words = textarea({ rows: kind === "correction" ? "8" : "4", value: text });
  const body = () => ({ object_id: objectId, [kind]: words.value });
  dialog({
    title: kind === "correction" ? "The answer as it should be" : "A comment",
    wide: kind === "correction",
    body: [
      field(kind === "correction" ? "Answer" : "Comment", words, kind === "correction" ? "It is kept beside what was answered: supervised training and dpo learn from it." : "It is kept beside the answer."),
      h("div", {}, callButton(() => ({ method: "POST", path: "/v1/feedback", body: body() }))),
    ],
    actions: [
      { label: "Cancel" },
      {
        label: "Keep it",
        kind: "primary",
        run: async () => {
          await api.post("/v1/feedback", body());
          toast(kind === "correction" ? "The correction is kept." : "The comment is kept.");
        },
      },
    ],
  });
}
