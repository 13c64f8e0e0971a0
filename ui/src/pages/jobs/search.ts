/** What is looked for: as it is typed (`state:failed queue:emails payload.user.id:42 some text`), as the address of
 * the page has it, and as /v1 takes it. Pure. */
import { STATES } from "../../api/types.ts";

/** Qualifiers of which any of several values may hold, with commas. */
const LISTS = ["state", "queue", "type"] as const;
const ONES = ["worker", "id", "fingerprint", "error", "since", "until"] as const;
/** As they are written one after the other; free text is last. */
const ORDER = ["state", "queue", "type", "tag", "payload", "worker", "id", "fingerprint", "error", "since", "until", "q"] as const;

export type Field = (typeof ORDER)[number];
export type Search = Partial<Record<Field, readonly string[]>>;
export const QUALIFIERS = ORDER.filter((name) => name !== "q");

/** What is wrong with a search: the words for it are the page's. */
export interface Issue {
  kind: "unknown" | "empty" | "twice" | "state" | "time" | "id";
  name: string;
  value?: string;
}

export interface Token {
  start: number;
  end: number;
  /** null: free text, or a qualifier that nobody knows (`unknown`). */
  field: Field | null;
  unknown?: string;
  /** Where the value begins, for a list the last one of them. */
  value: number;
  values: string[];
}

export function parse(text: string): { search: Search; issues: Issue[] } {
  const search: Partial<Record<Field, string[]>> = {};
  const issues: Issue[] = [];
  const words: string[] = [];
  for (const { field, unknown, values } of tokens(text)) {
    if (unknown !== undefined) issues.push({ kind: "unknown", name: unknown });
    else if (field === null) words.push(...values);
    else if (values.some((value) => !value) || (field === "payload" && /:$/.test(values[0] ?? ""))) issues.push({ kind: "empty", name: field });
    else if (search[field] && (ONES as readonly string[]).includes(field)) issues.push({ kind: "twice", name: field });
    else search[field] = [...new Set([...(search[field] ?? []), ...values])];
  }
  if (words.length) search.q = [words.join(" ")];
  return { search, issues: [...issues, ...check(search)] };
}

/** As one would type it; `parse` reads the same from it. */
export function print(search: Search): string {
  const said: string[] = [];
  for (const field of ORDER) {
    const values = search[field] ?? [];
    if (!values.length) continue;
    if (field === "q") said.push(...values.map(free));
    else if (field === "payload") said.push(...values.map(member));
    else if ((LISTS as readonly string[]).includes(field)) said.push(`${field}:${values.map((value) => quoted(value, /[\s",\\]/)).join(",")}`);
    else said.push(...values.map((value) => `${field}:${quoted(value, /[\s"\\]/)}`));
  }
  return said.join(" ");
}

/** From the address of the page; what it has besides is not ours. */
export function fromQuery(query: URLSearchParams): Search {
  const search: Partial<Record<Field, string[]>> = {};
  for (const field of ORDER) {
    const given = query.getAll(field).filter(Boolean);
    const values = field === "state" ? given.flatMap((one) => one.split(",")).filter(Boolean) : (ONES as readonly string[]).includes(field) || field === "q" ? given.slice(0, 1) : given;
    if (values.length) search[field] = [...new Set(values)];
  }
  return search;
}

/** For the address of the page: every filter, those that do not hold as null. */
export function toQuery(search: Search): Record<Field, string | readonly string[] | null> {
  const query = {} as Record<Field, string | readonly string[] | null>;
  for (const field of ORDER) {
    const values = search[field] ?? [];
    query[field] = !values.length ? null : field === "state" ? values.join(",") : values;
  }
  return query;
}

/** Parameters of /v1/jobs; times that count from now become times. */
export function toParams(search: Search, now: number, utc = false): Record<string, string | readonly string[]> {
  const params: Record<string, string | readonly string[]> = {};
  for (const field of ORDER) {
    const values = search[field] ?? [];
    if (!values.length) continue;
    if (field === "state") params[field] = values.join(",");
    else if (field === "since" || field === "until") params[field] = new Date(moment(values[0] ?? "", now, utc) ?? now).toISOString();
    else params[field] = values.length === 1 ? (values[0] as string) : values;
  }
  return params;
}

/** The same for a request that acts on many jobs. */
export function toFilter(search: Search, now: number, utc = false): { filter: Record<string, unknown>; all: boolean } {
  const filter = toParams(search, now, utc);
  return { filter, all: !Object.keys(filter).length };
}

export const isEmpty = (search: Search): boolean => ORDER.every((field) => !search[field]?.length);
export const same = (one: Search, other: Search): boolean => print(one) === print(other);

export function check(search: Search): Issue[] {
  const issues: Issue[] = [];
  for (const value of search.state ?? []) if (!(STATES as readonly string[]).includes(value)) issues.push({ kind: "state", name: "state", value });
  for (const name of ["since", "until"] as const) {
    for (const value of search[name] ?? []) if (moment(value, 0) === null) issues.push({ kind: "time", name, value });
  }
  for (const value of search.id ?? []) if (!/^[0-9a-f-]*[0-9a-f][0-9a-f-]*$/i.test(value)) issues.push({ kind: "id", name: "id", value });
  return issues;
}

const UNITS: Record<string, number> = { s: 1, m: 60, min: 60, h: 3600, d: 86400, w: 604800 };

/** Milliseconds of `2h` (ago), `2026-01-31`, `2026-01-31T08:30`; null for what is none of these. */
export function moment(text: string, now: number, utc = false): number | null {
  const ago = /^(\d+(?:\.\d+)?)\s*(s|m|min|h|d|w)$/i.exec(text);
  if (ago) return now - Number(ago[1]) * 1000 * (UNITS[(ago[2] ?? "").toLowerCase()] ?? 1);
  if (!/^\d{4}-\d\d-\d\d/.test(text)) return null;
  const zone = /(z|[+-]\d\d:?\d\d)$/i.test(text.slice(10)) ? "" : utc ? "Z" : "";
  const at = Date.parse(`${text.length === 10 ? `${text}T00:00` : text}${zone}`);
  return Number.isNaN(at) ? null : at;
}

const FREE = /[^\s"]\S*/y;
const NAME = /([a-z_][\w-]*):/iy;
const MEMBER = /payload[.:]((?:\\.|[^\s:\\])*):?/iy;
const QUOTE = /"((?:\\.|[^"\\])*)"?/y;

/** The parts of a search with their places. */
export function tokens(text: string): Token[] {
  const found: Token[] = [];
  let at = 0;
  const take = (pattern: RegExp): RegExpExecArray | null => {
    pattern.lastIndex = at;
    const match = pattern.exec(text);
    if (match) at += match[0].length;
    return match;
  };
  while (at < text.length) {
    if (take(/\s+/y)) continue;
    const start = at;
    const path = take(MEMBER);
    if (path) {
      const bound = path[0].endsWith(":") ? ":" : "";
      // A value in quotes is a string of JSON for the server, which is another than one that reads as a number.
      const value = bound ? (take(QUOTE) ?? take(/\S*/y))?.[0] ?? "" : "";
      found.push({ start, end: at, field: "payload", value: start + 8, values: [`${(path[1] ?? "").replace(/\\(\s)/g, "$1")}:${value}`] });
      continue;
    }
    const name = take(NAME);
    const field = name?.[1]?.toLowerCase() as Field | undefined;
    if (field && (QUALIFIERS as readonly string[]).includes(field)) {
      const list = (LISTS as readonly string[]).includes(field);
      const values: string[] = [];
      let value = at;
      do {
        value = at;
        const quote = take(QUOTE);
        values.push(quote ? bare(quote[1] ?? "") : (take(list ? /[^\s,]*/y : /\S*/y)?.[0] ?? ""));
      } while (list && take(/,/y));
      found.push({ start, end: at, field, value, values });
    } else if (name) {
      take(/\S*/y);
      found.push({ start, end: at, field: null, unknown: name[1] ?? "", value: start, values: [text.slice(start, at)] });
    } else {
      const quote = take(QUOTE);
      const word = quote ? bare(quote[1] ?? "") : (take(FREE)?.[0] ?? "");
      found.push({ start, end: at, field: null, value: start, values: [word] });
    }
  }
  return found;
}

/** A value as it has to be typed behind `field:`. */
export function written(field: Field, value: string): string {
  if (field === "payload") return member(value);
  return `${field}:${quoted(value, (LISTS as readonly string[]).includes(field) ? /[\s",\\]/ : /[\s"\\]/)}`;
}

function quoted(value: string, wherever: RegExp): string {
  return value && !wherever.test(value) ? value : `"${value.replace(/["\\]/g, "\\$&")}"`;
}

const bare = (text: string): string => text.replace(/\\(.)/gs, "$1");

/** `PATH:VALUE`, with a path whose spaces do not end it, and a value with some as a string of JSON. */
function member(term: string): string {
  const path = /^(?:\\.|[^:\\])*/s.exec(term)?.[0] ?? "";
  const value = term.slice(path.length + 1);
  const whole = value.startsWith('"') && /^"(?:\\.|[^"\\])*"$/s.test(value);
  return `payload.${path.replace(/\s/g, "\\$&")}:${!whole && /[\s]|^"/.test(value) ? JSON.stringify(value) : value}`;
}

/** Free text: as it is where it reads so, else in quotes. */
function free(text: string): string {
  const plain = tokens(text);
  const reads = plain.every((one) => one.field === null && one.unknown === undefined) && !/["\\]/.test(text) && plain.map((one) => one.values[0]).join(" ") === text;
  return reads ? text : quoted(text, /^/);
}

export const isState = (value: string): value is (typeof STATES)[number] => (STATES as readonly string[]).includes(value);
