// The page at /docs: draws what /openapi.json says.

import { block, element, pretty, prose } from "./dom.js";
import { tree, words } from "./schema.js";
import { form } from "./try.js";

const METHODS = ["get", "post", "put", "patch", "delete"];
const at = (id) => document.getElementById(id);
const search = at("search");
const tokenField = at("token");
const token = () => tokenField.value.trim();
let drawn = [];

async function load() {
  const headers = token() ? { Authorization: `Bearer ${token()}` } : {};
  const message = at("message");
  try {
    const got = await fetch("/openapi.json", { headers, credentials: "omit" });
    const told = await got.json();
    if (got.status === 401) {
      message.textContent = "This server has a token: type it in above. It stays in the memory of this page.";
      tokenField.focus();
      return;
    }
    if (!got.ok) throw new Error(told.detail ?? got.statusText);
    message.textContent = "";
    draw(told);
  } catch (error) {
    message.textContent = `/openapi.json cannot be read: ${error.message}`;
  }
}

function draw(api) {
  at("version").textContent = api.info.version;
  at("introduction").replaceChildren(...prose(api.info.description));
  const named = api.components.schemas;
  // Refusals are described once for all operations that give them.
  for (const { responses } of Object.values(api.paths).flatMap(Object.values)) {
    for (const [status, one] of Object.entries(responses)) {
      if (one.$ref) responses[status] = api.components.responses[one.$ref.split("/").pop()];
    }
  }
  const all = Object.entries(api.paths).flatMap(([path, item]) =>
    Object.keys(item).filter((key) => METHODS.includes(key)).map((method) => ({ path, method, operation: item[method] })));
  drawn = [];
  const chapters = [], contents = [];
  for (const tag of api.tags) {
    const own = all.filter((one) => one.operation.tags[0] === tag.name);
    const cards = own.map((one) => card(one, named));
    const links = own.map(({ path, method, operation }) => element("li", {},
      element("a", { href: `#${operation.operationId}`, title: `${method.toUpperCase()} ${path}` },
        element("span", { class: `method ${method}` }, method.toUpperCase()), element("span", {}, operation.summary))));
    const chapter = element("section", {}, element("h2", {}, tag.name), element("p", {}, prose(tag.description)), cards);
    const entry = element("section", {}, element("h2", {}, tag.name), element("ul", {}, links));
    own.forEach((one, index) => drawn.push({ card: cards[index], link: links[index], chapter, entry, text: textOf(one) }));
    chapters.push(chapter);
    contents.push(entry);
  }
  at("operations").replaceChildren(...chapters);
  at("contents").replaceChildren(...contents);
  const schemas = at("schemas");
  schemas.replaceChildren(schemas.firstElementChild, ...Object.entries(named).filter(([, one]) => one.properties).map(([name, one]) => {
    const inside = element("div", {}, element("p", {}, prose(one.description ?? "")), tree(one, named, [name]));
    return element("details", { class: "schema", id: `schema-${name}` }, element("summary", {}, name), inside);
  }));
  schemas.hidden = false;
  document.documentElement.dataset.ready = String(drawn.length);
  filter();
  open();
}

/** Everything that a search may find an operation by. */
function textOf({ path, method, operation }) {
  const parameters = (operation.parameters ?? []).map((one) => one.name);
  const answers = Object.entries(operation.responses).map(([status, one]) => `${status} ${one.description}`);
  return [method, path, operation.summary, operation.description, ...parameters, ...answers].join(" ").toLowerCase();
}

function card({ path, method, operation }, named) {
  const inside = element("div", { class: "inside" });
  const made = element("details", { class: `operation ${method}`, id: operation.operationId },
    element("summary", {}, element("span", { class: `method ${method}` }, method.toUpperCase()),
      element("code", { class: "path" }, path), element("span", { class: "told" }, operation.summary)),
    inside);
  // Drawn when it is opened: a page of closed cards costs little.
  made.addEventListener("toggle", () => {
    if (made.open && !inside.hasChildNodes()) inside.append(...parts(path, method, operation, named));
  });
  return made;
}

function parts(path, method, operation, named) {
  const found = [element("p", {}, prose(operation.description))];
  if (operation.parameters) {
    found.push(element("h3", {}, "Parameters"), element("table", {},
      element("tbody", {}, operation.parameters.map((one) => element("tr", {},
        element("th", { scope: "row" }, element("code", {}, one.name), element("small", {}, one.in)),
        element("td", {}, prose(one.description),
          element("div", { class: "type" }, words(one.schema),
            one.schema.default !== undefined && ` · default ${JSON.stringify(one.schema.default)}`,
            one.required && " · required")))))));
  }
  if (operation.requestBody) {
    for (const [media, content] of Object.entries(operation.requestBody.content)) {
      found.push(element("h3", {}, "Body ", element("small", {}, media)), tree(content.schema, named));
      if (content.schema.description) found.push(element("p", {}, prose(content.schema.description)));
      found.push(...Object.values(content.examples ?? {}).map((one) =>
        element("details", { class: "example" }, element("summary", {}, one.summary), block(pretty(one.value), one.summary))));
    }
  }
  found.push(element("h3", {}, "Answers"), ...Object.entries(operation.responses).map(([status, one]) => reply(status, one, named)));
  found.push(element("h3", {}, "Try it"), form(method.toUpperCase(), path, operation, token));
  return found;
}

function reply(status, one, named) {
  const kind = status < 400 ? "good" : "bad";
  return element("details", { class: "reply" },
    element("summary", {}, element("span", { class: `status ${kind}` }, status), element("span", {}, prose(one.description))),
    Object.keys(one.headers ?? {}).map((name) => element("p", {}, "Header ", element("code", {}, name))),
    Object.entries(one.content ?? {}).map(([media, content]) => [
      element("p", {}, element("code", {}, media)),
      content.schema && tree(content.schema, named),
      content.example !== undefined && block(pretty(content.example), `Example of ${status}`)]));
}

function filter() {
  const wanted = search.value.toLowerCase().split(/\s+/).filter(Boolean);
  for (const one of drawn) {
    const hidden = !wanted.every((word) => one.text.includes(word));
    one.card.hidden = one.link.hidden = hidden;
  }
  for (const { chapter, entry } of drawn) {
    const hidden = drawn.every((one) => one.chapter !== chapter || one.card.hidden);
    chapter.hidden = entry.hidden = hidden;
  }
  at("message").textContent = drawn.length && drawn.every((one) => one.card.hidden) ? "Nothing has all these words." : "";
}

/** Opens what the address names. */
function open() {
  const wanted = location.hash && at(decodeURIComponent(location.hash.slice(1)));
  if (wanted && wanted.tagName === "DETAILS") {
    wanted.open = true;
    wanted.scrollIntoView();
    wanted.querySelector("summary").focus({ preventScroll: true });
  }
}

function theme() {
  const root = document.documentElement;
  const dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  root.dataset.theme = dark ? "light" : "dark";
}

search.addEventListener("input", filter);
tokenField.addEventListener("change", load);
tokenField.addEventListener("input", () => document.dispatchEvent(new Event("token")));
at("theme").addEventListener("click", theme);
addEventListener("hashchange", open);
addEventListener("keydown", (event) => {
  if (event.key === "/" && !/^(INPUT|TEXTAREA|SELECT)$/.test(event.target.tagName) && !event.ctrlKey && !event.metaKey) {
    event.preventDefault();
    search.focus();
  }
});
load();
