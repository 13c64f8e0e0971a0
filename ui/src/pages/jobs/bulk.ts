/** Acting on many jobs: counted first, then done in steps that are told one by one. */
import { Problem, send } from "../../api/http.ts";
import type { Changed } from "../../api/types.ts";

export type Act = "retry" | "cancel" | "delete";

/** What it is done to: a filter of /v1, or everything. */
export type Target = { filter: Record<string, unknown> } | { all: true };

/** Each step as it is told, up to the last one. Aborted, it stops after the step it is in. */
export async function bulk(act: Act, target: Target, dry: boolean, tell: (told: Changed) => void, signal: AbortSignal): Promise<void> {
  const answer = await send("POST", `v1/jobs/${act}`, { body: { ...target, ...(dry && { dry_run: true }) }, headers: { accept: "application/x-ndjson" }, signal });
  let last: Changed | undefined;
  for await (const line of lines(answer)) {
    const told: unknown = JSON.parse(line);
    if (isProblem(told)) throw new Problem(told.code, told.detail, told.status ?? 0);
    last = told as Changed;
    tell(last);
  }
  // All steps end with one that says that there are no more; a connection that broke does not.
  if (last?.cursor !== null) throw new Problem("unreachable", "");
}

async function* lines(answer: Response): AsyncGenerator<string> {
  const reader = answer.body?.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const read = await reader?.read();
    if (!read || read.done) break;
    const parts = (rest + read.value).split("\n");
    rest = parts.pop() ?? "";
    for (const one of parts) if (one) yield one;
  }
  if (rest) yield rest;
}

function isProblem(told: unknown): told is { code: string; detail: string; status?: number } {
  return typeof told === "object" && told !== null && "code" in told;
}
