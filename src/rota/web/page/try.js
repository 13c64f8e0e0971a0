// A form that sends a request to this server, and the same request for curl.

import { block, element, pretty } from "./dom.js";

const quoted = (text) => `'${String(text).replaceAll("'", "'\\''")}'`;
const MOST = 200_000;
const JSON_MEDIA = "application/json";

/** A request as a command. The token is never written into it. */
export function curl(request, hasToken) {
  const parts = ["curl"];
  if (request.method !== "GET") parts.push("-X", request.method);
  if (hasToken) parts.push("-H", '"Authorization: Bearer $ROTA_TOKEN"');
  for (const [name, value] of Object.entries(request.headers)) parts.push("-H", quoted(`${name}: ${value}`));
  if (request.body !== undefined) parts.push("--data-binary", request.media === JSON_MEDIA ? quoted(request.body) : "@archive.zip");
  parts.push(quoted(location.origin + request.url));
  return parts.join(" ");
}

/** Path and query of an operation with these values; empty ones are left out of the query. */
export function address(path, values) {
  const filled = path.replace(/{(\w+)}/g, (_, name) => encodeURIComponent(values.path?.[name] ?? ""));
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(values.query ?? {})) {
    for (const one of [value].flat()) if (one !== "") query.append(name, one);
  }
  return query.size ? `${filled}?${query}` : filled;
}

/** The form. `token` gives the token of now. */
export function form(method, path, operation, token) {
  const fields = [];
  const field = (parameter) => {
    const input = element("input", { type: "text", name: parameter.name, autocomplete: "off", spellcheck: "false",
      placeholder: parameter.schema.default ?? "", required: parameter.in === "path" });
    fields.push({ parameter, input });
    return element("label", {}, element("span", {}, parameter.name), input);
  };
  const inputs = (operation.parameters ?? []).map(field);
  const body = operation.requestBody && element("textarea", { rows: 10, spellcheck: "false", name: "body", "aria-label": "Body" });
  let media = JSON_MEDIA;
  const answer = element("div", { class: "answer", role: "status" });
  const command = element("div", { class: "command" });
  const stop = element("button", { type: "button", class: "stop", hidden: true }, "Stop");

  const read = () => {
    const values = { path: {}, query: {}, header: {} };
    for (const { parameter, input } of fields) {
      const many = parameter.schema.type === "array" && parameter.explode;
      values[parameter.in][parameter.name] = many ? input.value.split(/\s+/) : input.value;
    }
    const headers = Object.fromEntries(Object.entries(values.header).filter(([, value]) => value !== ""));
    if (body) headers["Content-Type"] = media;
    return { method, url: address(path, values), headers, media, body: body ? body.value : undefined };
  };
  const show = () => command.replaceChildren(block(curl(read(), token() !== ""), "The request for curl"));
  const fill = (example) => {
    for (const { parameter, input } of fields) {
      const from = { path: example.path, query: example.query, header: example.headers }[parameter.in] ?? {};
      input.value = from[parameter.name] ?? "";
    }
    media = example.media ?? JSON_MEDIA;
    if (body) {
      body.value = example.body_base64 ?? pretty(example.body ?? {});
      body.title = example.body_base64 === undefined ? "" : `${media}, in base64`;
    }
    show();
  };
  const examples = operation["x-examples"] ?? [];
  const choice = element("select", { "aria-label": "Example" }, examples.map((one, index) => element("option", { value: index }, one.summary)));
  choice.addEventListener("change", () => fill(examples[choice.value]));

  const made = element("form", { class: "try" },
    examples.length > 0 && element("label", {}, element("span", {}, "Example"), choice),
    inputs, body,
    element("div", { class: "buttons" }, element("button", { type: "submit", class: "send" }, "Send"), stop),
    command, answer);
  made.addEventListener("input", show);
  made.addEventListener("submit", async (event) => {
    event.preventDefault();
    const cutter = new AbortController();
    stop.onclick = () => cutter.abort();
    stop.hidden = false;
    try {
      await send(read(), token(), answer, cutter);
    } finally {
      stop.hidden = true;
    }
  });
  document.addEventListener("token", show);
  if (examples.length) fill(examples[0]); else show();
  return made;
}

/** The body as it goes out: what is no JSON stands in the form in base64. */
function sent({ body, media }) {
  return body === undefined || media === JSON_MEDIA ? body : Uint8Array.from(atob(body), (one) => one.charCodeAt(0));
}

async function send(request, token, answer, cutter) {
  answer.replaceChildren(element("p", {}, "…"));
  const headers = new Headers(request.headers);
  if (token) headers.set("Authorization", `Bearer ${token}`);
  const since = performance.now();
  try {
    const got = await fetch(request.url, { method: request.method, headers, body: sent(request), signal: cutter.signal,
      credentials: "omit", cache: "no-store", redirect: "error" });
    const status = element("p", { class: got.ok ? "status good" : "status bad" },
      `${got.status} ${got.statusText}, ${Math.round(performance.now() - since)} ms`);
    const kept = [...got.headers].map(([name, value]) => `${name}: ${value}`).join("\n");
    const text = element("pre", { tabindex: 0, "aria-label": "The answer" });
    answer.replaceChildren(status, element("details", {}, element("summary", {}, "Headers"), element("pre", {}, kept)), text);
    await read(got, text, cutter);
  } catch (error) {
    const told = error.name === "AbortError" ? "Stopped." : `No answer: ${error.message}`;
    answer.append(element("p", { class: "status bad" }, told));
  }
}

/** Shows an answer as it comes: a stream of events has no end. */
async function read(got, text, cutter) {
  const kind = got.headers.get("content-type") ?? "";
  if (/zip/.test(kind)) {
    text.textContent = `${(await got.blob()).size} bytes of ${kind}`;
    return;
  }
  const decoder = new TextDecoder();
  let whole = "";
  if (got.body) {
    const reader = got.body.getReader();
    for (;;) {
      const { done, value } = await reader.read();
      if (done) break;
      whole += decoder.decode(value, { stream: true });
      text.textContent = whole;
      if (whole.length > MOST) {
        text.textContent = `${whole.slice(0, MOST)}\n…`;
        cutter.abort();
        return;
      }
    }
  }
  if (/json/.test(kind)) {
    try { text.textContent = pretty(JSON.parse(whole)); } catch { /* shown as it is */ }
  }
}
