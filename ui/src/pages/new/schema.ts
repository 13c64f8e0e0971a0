/** From the JSON Schema of a payload to fields that people fill in. */

export interface Schema {
  type?: string | string[];
  anyOf?: Schema[];
  properties?: Record<string, Schema>;
  required?: string[];
  items?: Schema;
  additionalProperties?: boolean | Schema;
  enum?: unknown[];
  default?: unknown;
  description?: string;
  contentEncoding?: string;
  examples?: unknown[];
}

export interface JobType {
  type: string;
  queues: string[];
  workers: number;
  built_in: boolean;
  description: string | null;
  schema: Schema | null;
  example: unknown;
  accepts: ("json" | "zip" | "bytes")[];
}

export type Kind = "text" | "long" | "number" | "truth" | "choice" | "lines" | "pairs" | "either" | "json";

export interface Field {
  name: string;
  kind: Kind;
  required: boolean;
  description: string;
  options: string[];
  example: string;
}

const LONG = new Set(["text", "html", "body", "message", "content"]);

/** The fields of an object, those that must be given first; null when the schema is not one of fields. */
export function fields(schema: Schema | null, example: unknown): Field[] | null {
  if (!schema?.properties || !Object.keys(schema.properties).length) return null;
  const given = (typeof example === "object" && example !== null ? example : {}) as Record<string, unknown>;
  const required = new Set(schema.required);
  const all = Object.entries(schema.properties).filter(([, one]) => !options(one).some((it) => it.contentEncoding));
  return all
    .map(([name, one]): Field => ({
      name,
      kind: kind(name, one),
      required: required.has(name),
      description: one.description ?? "",
      options: (one.enum ?? options(one).find((it) => it.enum)?.enum ?? []).map(String),
      example: shown(given[name] ?? one.examples?.[0] ?? one.default),
    }))
    .sort((a, b) => Number(b.required) - Number(a.required));
}

/** From what is typed to JSON; "" when nothing is. Throws what is wrong as a text. */
export function toJson(kind: Kind, typed: string): string {
  const text = typed.trim();
  if (kind === "truth") return typed;
  if (!text) return "";
  if (kind === "number") {
    JSON.parse(text);
    return text;
  }
  if (kind === "json") {
    JSON.parse(text);
    return text;
  }
  if (kind === "either") return /^-?\d+$/.test(text) ? text : JSON.stringify(text);
  if (kind === "lines") {
    const lines = typed.split("\n").map((line) => line.trim()).filter(Boolean);
    return JSON.stringify(lines);
  }
  if (kind === "pairs") {
    const pairs = typed.split("\n").filter((line) => line.trim());
    return JSON.stringify(Object.fromEntries(pairs.map((line) => [line.split(/[=:]/, 1)[0]?.trim() ?? "", line.replace(/^[^=:]*[=:]?\s?/, "")])));
  }
  return JSON.stringify(typed);
}

/** And back. Null: this value has no place in such a field. */
export function toTyped(kind: Kind, raw: string): string | null {
  const value: unknown = JSON.parse(raw);
  if (kind === "json" || kind === "truth") return raw;
  if (kind === "number") return typeof value === "number" ? raw : null;
  if (kind === "either") return typeof value === "string" && !/^\s*-?\d+\s*$/.test(value) ? value : typeof value === "number" ? raw : null;
  if (kind === "lines") {
    const lines = typeof value === "string" ? [value] : value;
    return Array.isArray(lines) && lines.every((one) => typeof one === "string" && one.trim() === one && one && !one.includes("\n")) ? lines.join("\n") : null;
  }
  if (kind === "pairs") {
    if (typeof value !== "object" || value === null || Array.isArray(value)) return null;
    const pairs = Object.entries(value);
    return pairs.every(([name, one]) => /^[^=:\s][^=:\n]*$/.test(name) && typeof one === "string" && !one.includes("\n")) ? pairs.map(([name, one]) => `${name}=${one}`).join("\n") : null;
  }
  if (typeof value !== "string") return null;
  return kind === "text" && value.includes("\n") ? null : value;
}

function kind(name: string, schema: Schema): Kind {
  if (schema.enum) return "choice";
  const some = options(schema);
  const types = some.flatMap((one) => one.type ?? "any").sort().join();
  if (some.length === 1 && some[0]?.enum) return "choice";
  if (types === "boolean") return "truth";
  if (/^(integer|number)(,(integer|number))*$/.test(types)) return "number";
  if (types === "string") return LONG.has(name) ? "long" : "text";
  if (types === "integer,string" || types === "number,string") return "either";
  const list = some.find((one) => one.type === "array");
  if ((types === "array" || types === "array,string") && list?.items?.type === "string") return "lines";
  const pairs = some[0]?.additionalProperties;
  if (types === "object" && typeof pairs === "object" && pairs.type === "string") return "pairs";
  return "json";
}

/** What it may be, besides nothing. */
function options(schema: Schema): Schema[] {
  return (schema.anyOf ?? [schema]).filter((one) => one.type !== "null");
}

function shown(value: unknown): string {
  if (value === undefined || value === null) return "";
  if (Array.isArray(value)) return value.every((one) => typeof one === "string") ? value.join(", ") : "";
  return typeof value === "object" ? "" : String(value);
}
