/** Where we are: `#/jobs?state=failed`. Hashes, because paths such as /jobs belong to older interfaces of the
 * server, and because they hold below any prefix that a proxy puts in front. */
import { computed, signal } from "@preact/signals";

export interface Place {
  page: string;
  rest: string[];
  query: URLSearchParams;
}

type Changes = Record<string, string | readonly string[] | null | undefined>;

const hash = signal(location.hash);
addEventListener("hashchange", () => (hash.value = location.hash));

export const place = computed<Place>(() => read(hash.value));

export function read(text: string): Place {
  const [path = "", query = ""] = cut(text.replace(/^#\/?/, ""), "?");
  const [page = "", ...rest] = path.split("/").map(decode);
  return { page: page || "overview", rest: rest.filter(Boolean), query: new URLSearchParams(query) };
}

/** An address within the page, for links: `href(["job", id])`, `href(["jobs"], {state: "failed"})`. */
export function href(path: readonly string[], changes: Changes = {}): string {
  return address(path, change(new URLSearchParams(), changes));
}

export function go(to: string, { replace = false } = {}): void {
  if (to === location.hash) return;
  if (replace) history.replaceState(history.state, "", to);
  else history.pushState(null, "", to);
  hash.value = location.hash;
}

/** Change what the address says of the page that is shown; null takes a member away. A step of its own for the
 * back button, unless `replace`. */
export function setQuery(changes: Changes, { replace = false } = {}): void {
  const { page, rest, query } = place.peek();
  go(address([page, ...rest], change(new URLSearchParams(query), changes)), { replace });
}

addEventListener("popstate", () => (hash.value = location.hash));

function address(path: readonly string[], query: URLSearchParams): string {
  const text = query.toString();
  return `#/${path.map(encodeURIComponent).join("/")}${text && `?${text}`}`;
}

function change(query: URLSearchParams, changes: Changes): URLSearchParams {
  for (const [name, value] of Object.entries(changes)) {
    query.delete(name);
    for (const one of typeof value === "string" ? [value] : (value ?? [])) query.append(name, one);
  }
  return query;
}

function cut(text: string, at: string): string[] {
  const found = text.indexOf(at);
  return found < 0 ? [text] : [text.slice(0, found), text.slice(found + 1)];
}

function decode(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}
