/** A job as the page reads it: its small parts as values, payload and result as they were written. */
import type { WholeJob } from "../../api/types.ts";
import { member, parse, type Node } from "../../json/parse.ts";

export interface Shown {
  job: WholeJob;
  payload: Node | null;
  result: Node | null;
  details: Node | null;
}

export function read(text: string): Shown {
  const tree = parse(text);
  return {
    job: JSON.parse(text) as WholeJob,
    payload: member(tree, "payload") ?? null,
    result: member(tree, "result") ?? null,
    details: member(member(tree, "error"), "details") ?? null,
  };
}

export function decode(base64: string): Uint8Array<ArrayBuffer> {
  const text = atob(base64);
  const found = new Uint8Array(text.length);
  for (let at = 0; at < text.length; at += 1) found[at] = text.charCodeAt(at);
  return found;
}

export function quote(text: string): string {
  return `'${text.replaceAll("'", "'\\''")}'`;
}
