/** Timed tasks: jobs of the type `sleep` that this page made, and which of them wait and run. */
import type { Event, Job } from "../../api/types.ts";

export const MARK = "timed";
const ID = "id:";
const MS = "ms:";
/** A tag has at most 64 characters. */
export const LONGEST = 64 - ID.length;
/** For so many milliseconds what was told outweighs what was read: an answer may have been made a second before. */
const NEWS = 4000;

export interface Row {
  key: number;
  id: string;
  ms: string;
}

export interface Task {
  job: string;
  id: string;
  ms: number;
  started: number | null;
}

/** What was told of a job, and when we heard. */
export interface News {
  to: "waiting" | "active" | "gone";
  at: number;
  heard: number;
}

export type Fault = "id" | "ms" | "long" | "range";

/** What is wrong with a row; null: nothing. `most`: the longest sleep. */
export function faultOf(row: Row, most: number): Fault | null {
  if (!row.id.trim()) return "id";
  if (row.id.trim().length > LONGEST) return "long";
  if (!/^\d+$/.test(row.ms.trim())) return "ms";
  return Number(row.ms) > most ? "range" : null;
}

export const blank = (row: Row): boolean => !row.id.trim() && !row.ms.trim();

export function spec({ id, ms }: Row): Record<string, unknown> {
  return { type: "sleep", queue: "default", payload: { ms: Number(ms) }, tags: [MARK, ID + id.trim(), MS + Number(ms)], max_attempts: 1 };
}

export function task(job: Job): Task {
  const said = (mark: string) => job.tags.find((tag) => tag.startsWith(mark))?.slice(mark.length);
  return { job: job.id, id: said(ID) ?? job.id, ms: Number(said(MS)) || 0, started: job.started_at === null ? null : Date.parse(job.started_at) };
}

export function hear(news: Map<string, News>, events: readonly Event[], heard: number): boolean {
  let any = false;
  for (const { event, id, at } of events) {
    const to = { started: "active", requeued: "waiting", finished: "gone", deleted: "gone" }[event] as News["to"] | undefined;
    if (!id || !to) continue;
    news.set(id, { to, at: Date.parse(at), heard });
    any = true;
  }
  for (const [id, one] of news) if (heard - one.heard > NEWS) news.delete(id);
  return any;
}

/** Both lists, with what was told since they were read: who runs, the one that began first in front, and who waits, the
 * next in front. Lists come newest first. */
export function lists(running: readonly Job[], waiting: readonly Job[], news: ReadonlyMap<string, News>, now: number): { active: Task[]; waiting: Task[] } {
  const fresh = (id: string) => {
    const one = news.get(id);
    return one && now - one.heard <= NEWS ? one : undefined;
  };
  const all = new Map<string, { job: Job; runs: boolean }>();
  for (const job of waiting) all.set(job.id, { job, runs: false });
  for (const job of running) all.set(job.id, { job, runs: true });
  const active: Task[] = [];
  const still: [Job, Task][] = [];
  for (const { job, runs } of all.values()) {
    const told = fresh(job.id);
    const to = told?.to ?? (runs ? "active" : "waiting");
    const one = task(job);
    if (to === "active") active.push(told ? { ...one, started: told.at } : one);
    else if (to === "waiting") still.push([job, one]);
  }
  active.sort((a, b) => (a.started ?? 0) - (b.started ?? 0) || (a.job < b.job ? -1 : 1));
  still.sort(([a], [b]) => b.priority - a.priority || (a.run_at < b.run_at ? -1 : a.run_at > b.run_at ? 1 : a.id < b.id ? -1 : 1));
  return { active, waiting: still.map(([, one]) => one) };
}
