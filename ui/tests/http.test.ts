/** How old an answer may be that is asked for. */
import assert from "node:assert/strict";
import { beforeEach, test } from "node:test";
import { get, post, Problem } from "../src/api/http.ts";

let asked: { path: string; cache: string | null }[] = [];
let now = 0;
performance.now = () => now;
globalThis.fetch = async (path, options) => {
  asked.push({ path: String(path), cache: new Headers(options?.headers).get("cache-control") });
  return Response.json({});
};

beforeEach(() => {
  asked = [];
  now += 60_000;
});

const last = () => asked.at(-1)?.cache;

test("what is only looked at may be a second old, and made for another", async () => {
  await get("v1/queues");
  assert.equal(last(), "max-age=1");
});

test("who asks to read again gets no answer of before", async () => {
  await get("v1/queues", { fresh: true });
  assert.equal(last(), "no-cache");
});

test("after an act of ours nothing is taken that may be from before it", async () => {
  await post("v1/queues/emails/pause");
  assert.equal(last(), null);
  await get("v1/queues");
  assert.equal(last(), "no-cache");
  now += 1_999;
  await get("v1/queues");
  assert.equal(last(), "no-cache");
  now += 1;
  await get("v1/queues");
  assert.equal(last(), "max-age=1");
});

test("an act counts from its end, and one that failed counts, too", async () => {
  globalThis.fetch = async (path, options) => {
    asked.push({ path: String(path), cache: new Headers(options?.headers).get("cache-control") });
    if (options?.method === "POST") {
      now += 5_000;
      throw new TypeError("network");
    }
    return Response.json({});
  };
  await assert.rejects(post("v1/jobs/x/retry"), (error: unknown) => error instanceof Problem && error.code === "unreachable");
  await get("v1/jobs");
  assert.equal(last(), "no-cache");
});
