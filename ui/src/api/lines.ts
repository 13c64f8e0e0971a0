/** Answers that come line by line (`application/x-ndjson`), each a value of its own, told as it arrives. */
import { Problem, send } from "./http.ts";

export async function* lines<T>(path: string, body: unknown, signal: AbortSignal): AsyncGenerator<T> {
  const answer = await send("POST", path, { body, signal, headers: { accept: "application/x-ndjson" } });
  const reader = answer.body?.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  while (reader) {
    const piece = await reader.read().catch(() => {
      throw new Problem("unreachable", "The connection broke.");
    });
    const whole = `${rest}${piece.value ?? ""}`.split("\n");
    rest = piece.done ? "" : (whole.pop() ?? "");
    for (const line of whole) if (line) yield read<T>(line);
    if (piece.done) return;
  }
}

/** A refusal that comes after the status was sent is the last line. */
function read<T>(line: string): T {
  const value = JSON.parse(line);
  if (typeof value.code === "string" && typeof value.detail === "string") {
    throw new Problem(value.code, value.detail, Number(value.status), value.field ?? null);
  }
  return value as T;
}
