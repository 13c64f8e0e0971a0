/** The page of jobs that is shown: read, changed in place as they change, and read again without jumping. */
import { effect } from "@preact/signals";
import { useCallback, useEffect, useMemo, useRef, useState } from "preact/hooks";
import { get, Problem } from "../../api/http.ts";
import type { Event, Job, Page, State } from "../../api/types.ts";
import { zone } from "../../i18n/format.ts";
import { between, epoch, paused, pulse, watch } from "../../live/socket.ts";
import { check, print, toParams, type Search } from "./search.ts";

export const SIZE = 50;
/** Milliseconds for which a search that finds little goes on by itself. */
const PATIENCE = 4000;
const GAP = 2000;
/** After a reading that had to look through much. */
const LONG_GAP = 15_000;
const MEMORY = 20;

interface Shown {
  of: string;
  jobs: Job[];
  /** Where the next page begins; null: there is none. */
  next: string | null;
  error?: Problem | undefined;
  /** The first answer for this address is still to come. */
  reading?: boolean;
}

export interface List extends Omit<Shown, "of"> {
  /** Jobs of another search are still shown. */
  stale: boolean;
  /** It still looks; what was found so far is shown. */
  searching: boolean;
  /** It stopped before it had a page full. */
  short: boolean;
  /** Jobs that came and are not shown, so that nothing moves under the hand. */
  fresh: number;
  showFresh: () => void;
  goOn: () => void;
  refresh: () => Promise<void>;
}

const memory = new Map<string, Shown>();

/** `still`: new jobs are counted and not shown. */
export function useJobs(search: Search, cursor: string | null, still: () => boolean): List {
  const key = `${print(search)}\n${cursor ?? ""}`;
  const broken = check(search).length > 0;
  // Times that count from now are those of the moment the search was asked for: pages must not slide.
  const params = useMemo(() => (broken ? {} : toParams(search, Date.now(), zone.peek() === "utc")), [key, broken]);
  const [shown, show] = useState<Shown>(() => memory.get(key) ?? { of: "", jobs: [], next: null, reading: true });
  const [searching, setSearching] = useState(false);
  const [waiting, setWaiting] = useState<Page<Job> | null>(null);
  const run = useRef<AbortController | null>(null);
  const long = useRef(false);
  const latest = useRef({ shown, still });
  latest.current = { shown, still };

  const page = useCallback(
    async (from: string | null, have: Job[], mine: AbortController, fresh: boolean, each?: (page: Page<Job>) => void): Promise<Page<Job>> => {
      const end = Date.now() + PATIENCE;
      let at = from;
      let jobs = have;
      for (let turn = 0; ; turn += 1) {
        const asked = { signal: mine.signal, fresh, query: { ...params, limit: SIZE - jobs.length, ...(at !== null && { cursor: at }) } };
        const got = await get<Page<Job>>("v1/jobs", asked);
        jobs = [...jobs, ...got.jobs];
        at = got.cursor;
        long.current = turn > 1;
        if (at === null || jobs.length >= SIZE || Date.now() > end) return { jobs, cursor: at };
        each?.({ jobs, cursor: at });
      }
    },
    [params],
  );

  const read = useCallback(
    async (how: "open" | "quiet" | "fresh" | "on"): Promise<void> => {
      if (broken) return;
      run.current?.abort();
      const mine = new AbortController();
      run.current = mine;
      const first = how === "open" || how === "on";
      const tell = ({ jobs, cursor: next }: Page<Job>) => {
        const it = { of: key, jobs, next };
        remember(key, it);
        setWaiting(null);
        show(it);
      };
      if (first) setSearching(true);
      try {
        const before = latest.current.shown;
        const going = how === "on" && before.of === key;
        const got = await page(going ? before.next : cursor, going ? before.jobs : [], mine, how === "fresh", first ? tell : undefined);
        if (mine.signal.aborted) return;
        const there = latest.current.shown;
        const calm = first || how === "fresh" || there.of !== key || !latest.current.still();
        const known = new Set(there.jobs.map((one) => one.id));
        const moves = there.jobs.length > 0 && got.jobs.some((one) => !known.has(one.id));
        if (calm || !moves) tell(calm ? got : { jobs: merged(there.jobs, got.jobs), cursor: there.next });
        else {
          show({ ...there, jobs: merged(there.jobs, got.jobs), error: undefined });
          setWaiting(got);
        }
      } catch (error) {
        if (mine.signal.aborted) return;
        const problem = error instanceof Problem ? error : new Problem("bad_answer", String(error));
        show((it) => (it.of === key ? { ...it, error: problem } : { of: key, jobs: [], next: null, error: problem }));
      } finally {
        if (run.current === mine) setSearching(false);
      }
    },
    [key, page, broken],
  );

  useEffect(() => {
    setWaiting(null);
    const kept = memory.get(key);
    if (kept) show(kept);
    void read(kept ? "quiet" : "open");
    let timer = 0;
    let last = Date.now();
    const soon = () => {
      if (timer || document.hidden) return;
      timer = window.setTimeout(() => {
        timer = 0;
        last = Date.now();
        if (!paused.peek() && !document.hidden) void read("quiet");
      }, Math.max(0, last + between(long.current ? LONG_GAP : GAP) - Date.now()));
    };
    let begun = false;
    let seen = epoch.peek();
    const stop = effect(() => {
      const told = pulse.value;
      const again = epoch.value !== seen;
      seen = epoch.value;
      if (begun && (again || told?.changed.jobs)) soon();
      begun = true;
    });
    const back = () => void (document.hidden || paused.peek() || soon());
    document.addEventListener("visibilitychange", back);
    return () => {
      stop();
      clearTimeout(timer);
      document.removeEventListener("visibilitychange", back);
      run.current?.abort();
    };
  }, [read]);

  const ids = shown.jobs.map((one) => one.id).join(" ");
  useEffect(() => {
    if (!ids) return;
    return watch(ids.split(" ").map((id) => `job:${id}`), (events) => {
      if (paused.peek()) return;
      const about = grouped(events);
      show((it) => ({ ...it, jobs: it.jobs.map((job) => (about.get(job.id) ?? []).reduce(changed, job)) }));
    });
  }, [ids]);

  const known = new Set(shown.jobs.map((one) => one.id));
  return {
    jobs: shown.jobs,
    next: shown.next,
    error: shown.of === key ? shown.error : undefined,
    reading: shown.of !== key,
    stale: shown.of !== key && !broken,
    searching,
    short: shown.of === key && shown.next !== null && shown.jobs.length < SIZE,
    fresh: waiting ? waiting.jobs.filter((one) => !known.has(one.id)).length : 0,
    showFresh: () => {
      if (waiting) show({ of: key, jobs: waiting.jobs, next: waiting.cursor });
      setWaiting(null);
    },
    goOn: () => void read("on"),
    refresh: () => read("fresh"),
  };
}

/** A job as it is after an event about it. What is not told comes with the next reading. */
export function changed(job: Job, event: Event): Job {
  switch (event.event) {
    case "started":
      return { ...job, state: "running", attempt: event.attempt ?? job.attempt, worker: event.worker ?? job.worker, started_at: event.at, finished_at: null, progress: null, waiting_because: null };
    case "progress":
      return { ...job, progress: { value: event.value ?? null, message: event.message ?? null } };
    case "requeued":
      return { ...job, state: event.state ?? job.state, reason: event.reason ?? null, progress: null, finished_at: null };
    case "stopping":
      return { ...job, cancel_requested: true };
    case "finished":
      return { ...job, state: (event.state ?? job.state) as State, reason: event.reason ?? null, finished_at: event.at, waiting_because: null };
    default:
      return job;
  }
}

/** What is shown, in its order, with what is known of it now. */
function merged(shown: Job[], read: Job[]): Job[] {
  const now = new Map(read.map((one) => [one.id, one]));
  return shown.map((one) => now.get(one.id) ?? one);
}

function grouped(events: Event[]): Map<string | undefined, Event[]> {
  const about = new Map<string | undefined, Event[]>();
  for (const one of events) about.set(one.id, [...(about.get(one.id) ?? []), one]);
  return about;
}

function remember(key: string, shown: Shown): void {
  memory.delete(key);
  memory.set(key, shown);
  for (const oldest of memory.keys()) {
    if (memory.size <= MEMORY) break;
    memory.delete(oldest);
  }
}
