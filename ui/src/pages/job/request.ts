/** The request that stores a job again: every value of it as it is written, no digit by way of JavaScript's numbers. */
import type { WholeJob } from "../../api/types.ts";
import { parse, print, type Node } from "../../json/parse.ts";

/** A header that says which job this one was made from. */
export const ORIGIN = "edited-from";

export type Members = [name: string, json: string][];

export interface Fields {
  type: string;
  queue: string;
  priority: string;
  max: string;
  tags: string;
  delay: string;
}

/** What a form begins with. */
export function fields(job: WholeJob): Fields {
  return { type: job.type, queue: job.queue, priority: String(job.priority), max: String(job.max_attempts), tags: tags(job).join(", "), delay: "" };
}

/** What is kept of a job, what the form says of it, and where it comes from. */
export function edited(job: WholeJob, said: Fields): Members {
  const found: Members = [
    ["type", JSON.stringify(said.type.trim())],
    ["queue", JSON.stringify(said.queue.trim())],
    ["priority", number(said.priority)],
    ["max_attempts", number(said.max)],
    ["tags", JSON.stringify(said.tags.split(",").map((one) => one.trim()).filter(Boolean))],
    ["headers", JSON.stringify({ ...job.headers, [ORIGIN]: job.id })],
  ];
  if (said.delay.trim()) found.push(["delay", number(said.delay)]);
  if (job.timeout !== null) found.push(["timeout", String(job.timeout)]);
  if (job.retry !== null) found.push(["retry", JSON.stringify(job.retry)]);
  if (job.retention !== null) found.push(["retention", String(job.retention)]);
  return found;
}

/** The same job once more, without what the server would say by itself. */
export function same(job: WholeJob): Members {
  const { [ORIGIN]: _, ...headers } = job.headers;
  const found: Members = [["type", JSON.stringify(job.type)], ["queue", JSON.stringify(job.queue)], ["max_attempts", String(job.max_attempts)]];
  if (job.priority) found.push(["priority", String(job.priority)]);
  if (job.timeout !== null) found.push(["timeout", String(job.timeout)]);
  if (tags(job).length) found.push(["tags", JSON.stringify(tags(job))]);
  if (Object.keys(headers).length) found.push(["headers", JSON.stringify(headers)]);
  return found;
}

/** A payload that is bytes, as it is sent. */
export function binary(job: WholeJob): Members {
  return [["payload_base64", JSON.stringify(job.payload_base64)], ["content_type", JSON.stringify(job.content_type)]];
}

export function body(members: Members): string {
  return `{${members.map(([name, value]) => `${JSON.stringify(name)}: ${value}`).join(", ")}}`;
}

/** For a header: one line of ASCII. */
export function header(members: Members): string {
  const escaped = (sign: string) => `\\u${sign.charCodeAt(0).toString(16).padStart(4, "0")}`;
  return body(members).replace(/[\u007f-\uffff]/g, escaped).replace(/[\r\n\t]+/g, " ");
}

/** Whether an archive came with it: what the server says of it stands in the payload. */
export function uploaded(payload: Node | null): boolean {
  const about = payload?.kind === "object" ? payload.members.find(([name]) => name === "upload")?.[1] : undefined;
  return about?.kind === "object" && about.members.some(([name]) => name === "sha256");
}

/** The server says anew what came with the job. */
export function withoutUpload(payload: Node): Node {
  return payload.kind === "object" ? { kind: "object", members: payload.members.filter(([name]) => name !== "upload") } : payload;
}

/** The payload of a request; nothing where nothing is written. */
export function carried(text: string, upload: boolean): Members {
  if (!text.trim()) return [];
  return [["payload", upload ? print(withoutUpload(parse(text))) : text]];
}

function tags(job: WholeJob): string[] {
  return job.tags.filter((tag) => !tag.startsWith("front:"));
}

/** What is no number is sent as it is, for the server to say so. */
function number(text: string): string {
  const bare = text.trim();
  return /^-?\d+(\.\d+)?$/.test(bare) ? bare.replace(/^(-?)0+(?=\d)/, "$1") : JSON.stringify(text);
}
