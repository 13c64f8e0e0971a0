/** What could be typed next: names of qualifiers, then values that there are. */
import { useEffect, useState } from "preact/hooks";
import { get } from "../../api/http.ts";
import { isState, QUALIFIERS, tokens, written, type Field, type Token } from "./search.ts";

export interface Suggestion {
  label: string;
  /** What stands in place of the part at the cursor. */
  insert: string;
  jobs: number | null;
  /** A qualifier, of which the value is still to come. */
  goes: boolean;
  field: Field | null;
}

export interface Place {
  start: number;
  end: number;
}

interface Answer {
  values: { value: string; jobs: number | null }[];
}

const ASKED: readonly Field[] = ["state", "queue", "type", "tag", "worker", "payload", "error"];
const AGO = ["15m", "1h", "24h", "7d"];
const PAUSE = 120;

/** For the part of the text where the cursor is. */
export function useSuggestions(text: string, caret: number, open: boolean): { some: Suggestion[]; place: Place } {
  const all = tokens(text);
  const here = all.find((one) => one.start <= caret && caret <= one.end) ?? null;
  const place = here ? { start: here.start, end: here.end } : { start: caret, end: caret };
  const field = here?.field ?? (here && /^payload\./i.test(text.slice(here.start)) ? "payload" : null);
  const typed = here ? bare(text.slice(field ? here.value : here.start, caret)) : "";
  const narrow = { queue: only(all, here, "queue"), type: only(all, here, "type") };
  const wanted = open && field && ASKED.includes(field) ? JSON.stringify({ field, prefix: typed, limit: 12, ...narrow }) : null;
  const [answer, setAnswer] = useState<{ of: string; field: Field; some: Suggestion[] }>();

  useEffect(() => {
    if (!wanted || !field) return;
    const mine = new AbortController();
    const timer = setTimeout(async () => {
      try {
        const { values } = await get<Answer>("v1/suggest", { query: JSON.parse(wanted), signal: mine.signal });
        setAnswer({ of: wanted, field, some: values.map(({ value, jobs }) => told(field, value, jobs, typed)) });
      } catch {
        // Whoever types knows what he wants without us.
        if (!mine.signal.aborted) setAnswer({ of: wanted, field, some: [] });
      }
    }, PAUSE);
    return () => {
      clearTimeout(timer);
      mine.abort();
    };
  }, [wanted]);

  if (!open) return { some: [], place };
  if (!field) {
    const start = typed.toLowerCase();
    const fit = QUALIFIERS.filter((name) => name.startsWith(start) && start !== name);
    return { some: fit.map((name) => ({ label: name === "payload" ? "payload.…:" : `${name}:`, insert: name === "payload" ? "payload." : `${name}:`, jobs: null, goes: true, field: null })), place };
  }
  if (field === "since" || field === "until") return { some: AGO.filter((one) => one.startsWith(typed)).map((one) => told(field, one, null, typed)), place };
  // Those of a moment ago stay until the next ones are there: the list does not blink.
  const old = answer && (answer.of === wanted || answer.field === field) ? answer.some : [];
  const list = ["state", "queue", "type"].includes(field) && here && here.values.length > 1;
  if (!list) return { some: old, place };
  return { some: old.map((one) => ({ ...one, insert: one.insert.slice(field.length + 1) })), place: { start: here.value, end: here.end } };
}

function told(field: Field, value: string, jobs: number | null, typed: string): Suggestion {
  const path = field === "payload" && !typed.includes(":");
  return {
    label: path ? `payload.${value}:` : field === "payload" ? value.slice(/^(?:\\.|[^:\\])*/s.exec(value)?.[0].length ?? 0).replace(/^:/, "") : value,
    insert: path ? written(field, `${value}:`) : written(field, value),
    jobs,
    goes: path,
    field: field === "state" && !isState(value) ? null : field,
  };
}

/** Other filters of the search, so far as suggestions can be narrowed to them. */
function only(all: readonly Token[], here: Token | null, field: Field): string | undefined {
  const some = all.filter((one) => one.field === field && one !== here).flatMap((one) => one.values);
  return here?.field !== field && some.length === 1 && some[0] ? some[0] : undefined;
}

const bare = (text: string): string => text.replace(/^"/, "").replace(/"$/, "").replace(/\\(["\\\s])/g, "$1");
