/** From the form to a request: its body as text, with the payload as it was written, and the same as a command. */
import type { Kind } from "./schema.ts";
import { toJson } from "./schema.ts";

export interface Draft {
  type: string;
  queue: string;
  payload: string;
  options: Record<Option, string>;
  count: string;
}

export const OPTIONS = ["delay", "run_at", "priority", "max_attempts", "timeout", "retry", "retry_seconds", "tags", "headers", "unique_key", "expires_at", "retention", "idempotency_key"] as const;
export type Option = (typeof OPTIONS)[number];

export const EMPTY: Draft = {
  type: "",
  queue: "default",
  payload: "",
  options: Object.fromEntries(OPTIONS.map((name) => [name, ""])) as Draft["options"],
  count: "1",
};

const KINDS: Partial<Record<Option, Kind>> = { delay: "number", priority: "number", max_attempts: "number", timeout: "number", unique_key: "text", idempotency_key: "text", headers: "pairs" };

/** A field that cannot be read, by its name in the request. */
export class Unreadable extends Error {
  field: string;

  constructor(field: string) {
    super(field);
    this.field = field;
  }
}

/** The members of the job, each as JSON, without its payload. */
export function members(draft: Draft): [string, string][] {
  const found: [string, string][] = [["type", JSON.stringify(draft.type.trim())]];
  if (draft.queue.trim() && draft.queue.trim() !== "default") found.push(["queue", JSON.stringify(draft.queue.trim())]);
  const { options } = draft;
  for (const [name, kind] of Object.entries(KINDS) as [Option, Kind][]) {
    const value = read(name, () => toJson(kind, options[name]));
    if (value) found.push([name, value]);
  }
  for (const name of ["run_at", "expires_at"] as const) {
    if (options[name]) found.push([name, read(name, () => JSON.stringify(new Date(options[name]).toISOString()))]);
  }
  if (options.retention.trim()) found.push(["retention", read("retention", () => JSON.stringify(Number(toJson("number", options.retention)) * 86400))]);
  const tags = options.tags.split(",").map((one) => one.trim()).filter(Boolean);
  if (tags.length) found.push(["tags", JSON.stringify(tags)]);
  if (options.retry === "none") found.push(["retry", '{"kind":"none"}']);
  if (options.retry === "fixed") found.push(["retry", `{"kind":"fixed","delay":${read("retry", () => toJson("number", options.retry_seconds)) || 0}}`]);
  return found;
}

/** The whole body; `payload` is JSON, or members that stand for one (bytes). */
export function body(draft: Draft, payload: [string, string][]): string {
  const one = written([...members(draft), ...payload]);
  const n = many(draft);
  return n === 1 ? one : `{"jobs": [${Array(n).fill(one).join(", ")}]}`;
}

export function many(draft: Draft): number {
  const n = Number(draft.count);
  if (!Number.isInteger(n) || n < 1 || n > 1000) throw new Unreadable("count");
  return n;
}

export function written(members: [string, string][]): string {
  return `{${members.map(([name, value]) => `${JSON.stringify(name)}: ${value}`).join(", ")}}`;
}

export function quote(text: string): string {
  return `'${text.replaceAll("'", "'\\''")}'`;
}

function read<T>(field: string, how: () => T): T {
  try {
    return how();
  } catch {
    throw new Unreadable(field);
  }
}
