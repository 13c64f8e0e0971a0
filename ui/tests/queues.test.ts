// What the pages of queues and failures make of figures, and of lists that change while somebody points at them.
import assert from "node:assert/strict";
import { test } from "node:test";
import type { Figures, Series } from "../src/api/types.ts";
import { ended, lately } from "../src/pages/queues/figures.ts";
import { inOrder } from "../src/parts/calm.ts";

const series = (queue: string | null, enqueued: (number | null)[], done: (number | null)[], more: Partial<Series> = {}): Series =>
  ({ queue, type: null, enqueued, done, failed: done.map((one) => one && 1), cancelled: done, ...more }) as Series;
const figures = (resolution: number, ...all: Series[]): Figures =>
  ({ resolution, points: all[0]?.enqueued.length ?? 0, series: all }) as Figures;

test("rates are per second of the time in which a server was up", () => {
  const told = figures(5, series("a", [null, 10, 20], [null, 5, 5]));
  assert.deepEqual(lately(told, "a"), { in: 3, out: 2.2 });
  assert.deepEqual(lately(told, "quiet"), { in: 0, out: 0 });
  assert.equal(lately(undefined, "a"), null);
});

test("nothing is said of a queue that is one of the others", () => {
  const told = figures(5, series("a", [1], [1]), series(null, [9], [9], { others: 3 }));
  assert.equal(lately(told, "b"), null);
  assert.equal(ended(told, "b"), null);
});

test("ended jobs are those done, failed and cancelled, two minutes a point", () => {
  assert.deepEqual(ended(figures(60, series("a", [0, 0, 0], [2, 3, null])), "a"), [12, 0]);
});

test("a list that is pointed at keeps its order; what is new comes behind", () => {
  assert.deepEqual(inOrder(["new", "b", "a"], (one) => one, ["a", "gone", "b"]), ["a", "b", "new"]);
});
