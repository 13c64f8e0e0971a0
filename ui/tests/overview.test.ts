// The timed tasks in their order, and figures as the overview shows them.
import assert from "node:assert/strict";
import { test } from "node:test";
import type { Event, Figures, Job } from "../src/api/types.ts";
import { failedOf, perSecond, pooled } from "../src/pages/overview/figures.ts";
import { blank, faultOf, hear, lists, LONGEST, type News, spec, task } from "../src/pages/overview/tasks.ts";

const job = (id: string, more: Partial<Job> = {}): Job =>
  ({ id, tags: ["timed", `id:task ${id}`, "ms:2500"], priority: 0, run_at: "2026-01-31T08:30:00.000000Z", started_at: null, ...more }) as Job;
const ids = (tasks: { job: string }[]) => tasks.map((one) => one.job).join(" ");

test("what waits stands in the order in which it is run", () => {
  const waiting = [job("d", { run_at: "2026-01-31T09:30:00.000000Z" }), job("c"), job("b", { priority: 5 }), job("a")];
  assert.equal(ids(lists([], waiting, new Map(), 0).waiting), "b a c d");
  const running = [job("z", { started_at: "2026-01-31T08:30:02Z" }), job("y", { started_at: "2026-01-31T08:30:03Z" })];
  assert.equal(ids(lists(running, [], new Map(), 0).active), "z y");
});

test("what was told since outweighs what was read, for a while", () => {
  const news = new Map<string, News>();
  const told = (event: string, id: string): Event => ({ n: 1, event, id, at: "2026-01-31T08:30:05Z" });
  assert.equal(hear(news, [told("started", "b"), told("finished", "a"), told("progress", "c")], 1000), true);
  const shown = lists([job("a")], [job("c"), job("b")], news, 2000);
  assert.deepEqual([ids(shown.active), ids(shown.waiting)], ["b", "c"]);
  assert.equal(shown.active[0]?.started, Date.parse("2026-01-31T08:30:05Z"));
  assert.equal(ids(lists([job("a")], [job("c"), job("b")], news, 9000).active), "a");
  assert.equal(hear(news, [told("log", "c")], 9000), false);
  assert.equal(news.size, 0);
});

test("a row becomes a job that says what it was, and what is none is told", () => {
  const row = { key: 1, id: " a:b ", ms: " 010 " };
  assert.equal(faultOf(row, 1000), null);
  const made = spec(row);
  assert.deepEqual([made["payload"], made["tags"]], [{ ms: 10 }, ["timed", "id:a:b", "ms:10"]]);
  assert.deepEqual(task(job("x", { tags: made["tags"] as string[] })), { job: "x", id: "a:b", ms: 10, started: null });
  const faults = [["", "5"], ["a", ""], ["a", "-1"], ["a", "1e3"], ["a", "1001"], ["x".repeat(LONGEST + 1), "5"]] as const;
  assert.deepEqual(faults.map(([id, ms]) => faultOf({ key: 1, id, ms }, 1000)), ["id", "ms", "ms", "ms", "range", "long"]);
  assert.equal(blank({ key: 1, id: " ", ms: "" }), true);
});

test("gaps stay gaps, and failures of a day are counted once", () => {
  const figures = (resolution: number, since: string, until: string, failed: (number | null)[]): Figures =>
    ({ resolution, since, until, points: failed.length, series: [{ failed, totals: { failed: failed.reduce<number>((sum, one) => sum + (one ?? 0), 0) } }] }) as unknown as Figures;
  const recent = figures(5, "2026-01-31T08:29:50Z", "2026-01-31T08:30:10Z", [null, 2, 3, 4]);
  assert.deepEqual(perSecond(recent, "failed"), [null, 0.4, 0.6, 0.8]);
  const day = figures(60, "2026-01-31T08:28:00Z", "2026-01-31T08:30:00Z", [1, 2]);
  assert.equal(failedOf(day, recent), 10);
  assert.equal(failedOf(undefined, recent), null);
  assert.deepEqual(pooled([null, null, 1, null, 2, 3], 3), [null, 1, 5]);
});
