// Addresses within the page.
import assert from "node:assert/strict";
import { test } from "node:test";

Object.assign(globalThis, { location: { hash: "" }, addEventListener: () => undefined });
const { href, read } = await import("../src/route.ts");

test("what is written is what is read", () => {
  const names = ["job", "a/b c?d#e%"];
  const filters = { state: "failed,done", tag: ["x", "y & z"], "payload.user.id": "42", q: "50% off?" };
  const place = read(href(names, filters));
  assert.equal(place.page, "job");
  assert.deepEqual(place.rest, ["a/b c?d#e%"]);
  assert.deepEqual(place.query.getAll("tag"), ["x", "y & z"]);
  assert.equal(place.query.get("q"), "50% off?");
  assert.equal(place.query.get("payload.user.id"), "42");
});

test("an empty address is the overview, and a broken one breaks nothing", () => {
  assert.equal(read("").page, "overview");
  assert.equal(read("#/").page, "overview");
  assert.deepEqual(read("#/job/%E0%A4%A").rest, ["%E0%A4%A"]);
});
