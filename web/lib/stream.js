// stream.js - server-sent events over fetch, for an EventSource cannot send a key.
//
//   for await (const event of events(response))       {event, data, id} of one answer; data is text
//   answer(path, body, {signal})                      POSTs with stream: true; yields the JSON of each event until [DONE] or the end
//   follow(path, {query, signal, lastId, onEvent, onState})
//        stays with a stream that lives on: when it breaks off it asks again, with Last-Event-ID and after growing waits.
//        onEvent({event, data, id}) may be async; onState("open" | "waiting" | "ended"). Ends when signal says so, when
//        onEvent returns false, or with an ApiError that trying again cannot mend (4xx).

import { ApiError, request } from "./api.js";

export async function* events(response) {
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  try {
    for (;;) {
      const { value, done } = await reader.read();
      rest += value ?? "";
      let at;
      let from = 0;
      while ((at = rest.slice(from).search(/\r?\n\r?\n/)) >= 0) {
        const block = rest.slice(from, from + at);
        from += at + (rest.startsWith("\r\n", from + at) ? 4 : 2);
        const event = parse(block);
        if (event) yield event;
      }
      rest = rest.slice(from);
      if (done) return;
    }
  } finally {
    reader.cancel().catch(() => {});
  }
}

function parse(block) {
  const event = { event: "message", data: null, id: null };
  for (const line of block.split(/\r?\n/)) {
    const colon = line.indexOf(":");
    if (colon === 0) continue; // a comment, which keeps the connection alive
    const name = colon < 0 ? line : line.slice(0, colon);
    const value = colon < 0 ? "" : line.slice(colon + (line[colon + 1] === " " ? 2 : 1));
    if (name === "data") event.data = event.data === null ? value : `${event.data}\n${value}`;
    else if (name === "event" || name === "id") event[name] = value;
  }
  return event.data === null ? null : event;
}

export async function* answer(path, body, { signal } = {}) {
  const response = await request(path, { method: "POST", body: { ...body, stream: true }, signal });
  for await (const event of events(response)) {
    if (event.data === "[DONE]") return;
    const value = JSON.parse(event.data);
    if (value.error) throw new ApiError(500, value.error);
    yield value;
  }
}

const wait = (ms, signal) =>
  new Promise((resolve) => {
    const end = () => {
      clearTimeout(timer);
      signal?.removeEventListener("abort", end);
      resolve();
    };
    const timer = setTimeout(end, ms);
    signal?.addEventListener("abort", end);
  });

export async function follow(path, { query, signal, lastId = null, onEvent, onState = () => {} }) {
  let pause = 500;
  while (!signal?.aborted) {
    try {
      const response = await request(path, { query, signal, headers: { Accept: "text/event-stream", ...(lastId ? { "Last-Event-ID": lastId } : {}) } });
      onState("open");
      for await (const event of events(response)) {
        pause = 500;
        if (event.id) lastId = event.id;
        if (event.data === "[DONE]" || (await onEvent(event)) === false) {
          onState("ended");
          return;
        }
      }
    } catch (e) {
      if (signal?.aborted || e.name === "AbortError") break;
      if (e instanceof ApiError && e.status >= 400 && e.status < 500 && e.status !== 429) throw e;
    }
    if (signal?.aborted) break;
    onState("waiting");
    await wait(pause, signal);
    pause = Math.min(2 * pause, 15000);
  }
  onState("ended");
}
