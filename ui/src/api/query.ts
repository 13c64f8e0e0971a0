/** What a part of the page reads from the server: kept while it is read again, read again when asked to. */
import { effect } from "@preact/signals";
import { useCallback, useEffect, useRef, useState } from "preact/hooks";
import { between, epoch, paused } from "../live/socket.ts";
import { get, Problem, text } from "./http.ts";

export interface Reading<T> {
  data: T | undefined;
  /** Why the last try failed; `data` is then what was there before. */
  error: Problem | undefined;
  /** The first answer is still to come. */
  loading: boolean;
  /** Read again, past all caches. */
  refresh: () => Promise<void>;
}

interface Options<T> {
  /** Milliseconds between readings; not while the tab is hidden or the page is paused. */
  every?: number;
  /** Read again when what this reads (signals) changes, at most once in `gap` milliseconds. */
  on?: () => unknown;
  gap?: number;
  /** From the text of the answer; JSON when nothing is said. */
  parse?: (answer: string) => T;
}

const MEMORY = 30;
const memory = new Map<string, unknown>();

/** `address` null: there is nothing to read yet. */
export function useQuery<T>(address: string | null, options: Options<T> = {}): Reading<T> {
  const { every, gap = 1000 } = options;
  const latest = useRef(options);
  latest.current = options;
  const [shown, show] = useState<{ of: string | null; data?: T; error?: Problem }>({ of: null });
  const run = useRef<AbortController | null>(null);

  const read = useCallback(
    async (fresh: boolean): Promise<void> => {
      if (address === null) return;
      run.current?.abort();
      const mine = new AbortController();
      run.current = mine;
      try {
        const { parse } = latest.current;
        const asked = { signal: mine.signal, fresh };
        const data = parse ? parse(await text(address, asked)) : await get<T>(address, asked);
        remember(address, data);
        if (!mine.signal.aborted) show({ of: address, data });
      } catch (error) {
        if (mine.signal.aborted) return;
        const problem = error instanceof Problem ? error : new Problem("bad_answer", String(error));
        show((before) => (before.of === address ? { ...before, error: problem } : { of: address, error: problem }));
      }
    },
    [address],
  );

  useEffect(() => {
    void read(false);
    const last = { at: Date.now(), timer: 0 };
    const soon = () => {
      if (last.timer || document.hidden) return;
      const left = Math.max(0, last.at + between(gap) - Date.now());
      last.timer = window.setTimeout(() => {
        last.timer = 0;
        last.at = Date.now();
        if (!paused.peek()) void read(false);
      }, left);
    };
    let first = true;
    const stop = effect(() => {
      epoch.value;
      latest.current.on?.();
      if (!first) soon();
      first = false;
    });
    const back = () => void (document.hidden || paused.peek() || read(false));
    document.addEventListener("visibilitychange", back);
    let timer = 0;
    const again = (after: number) => {
      timer = window.setTimeout(() => {
        if (!document.hidden && !paused.peek()) void read(false);
        again(after);
      }, between(after));
    };
    if (every !== undefined) again(every);
    return () => {
      stop();
      clearTimeout(last.timer);
      clearTimeout(timer);
      document.removeEventListener("visibilitychange", back);
      run.current?.abort();
    };
  }, [read, every, gap]);

  const refresh = useCallback(() => read(true), [read]);
  const here = shown.of === address;
  const data = here && shown.data !== undefined ? shown.data : recall<T>(address);
  return { data, error: here ? shown.error : undefined, loading: address !== null && data === undefined && !(here && shown.error), refresh };
}

/** Whether the page has come to rest, or some time has passed. */
export function useLater(): boolean {
  const [later, set] = useState(false);
  useEffect(() => {
    const run = () => set(true);
    // Not every browser can say so.
    const ask = window.requestIdleCallback?.(run, { timeout: 400 }) ?? window.setTimeout(run, 200);
    return () => (window.cancelIdleCallback ?? clearTimeout)(ask);
  }, []);
  return later;
}

/** So that the way back to a page is not a way through an empty one. */
function remember(address: string, data: unknown): void {
  memory.delete(address);
  memory.set(address, data);
  for (const oldest of memory.keys()) {
    if (memory.size <= MEMORY) break;
    memory.delete(oldest);
  }
}

function recall<T>(address: string | null): T | undefined {
  return address === null ? undefined : (memory.get(address) as T | undefined);
}
