// From fields to payloads and back, without the loss of a digit.
import assert from "node:assert/strict";
import { test } from "node:test";
import { join, split } from "../src/pages/new/raw.ts";
import { body, EMPTY, Unreadable } from "../src/pages/new/request.ts";
import { fields, toJson, toTyped, type Kind } from "../src/pages/new/schema.ts";

test("members keep their order and their digits", () => {
  const text = '{ "b" : 12345678901234567890.10, "2": [1, {"x": "a,}\\"]"}], "a":"\\u00e9{", "__proto__" :null,"t":true }';
  const members = split(text);
  assert.deepEqual(members, [["b", "12345678901234567890.10"], ["2", '[1, {"x": "a,}\\"]"}]'], ["a", '"\\u00e9{"'], ["__proto__", "null"], ["t", "true"]]);
  assert.deepEqual(split(join(members ?? [])), members);
  assert.deepEqual(split(" {} "), []);
  for (const no of ["[1]", "1", "", "{", '{"a": 1, "a": 2}']) assert.equal(split(no), null, no);
});

test("what is typed becomes JSON and comes back", () => {
  const cases: [Kind, string, string][] = [
    ["text", "12", '"12"'], ["number", "9007199254740993", "9007199254740993"], ["lines", "a\nb", '["a","b"]'],
    ["pairs", "A=1\nB=x=y", '{"A":"1","B":"x=y"}'], ["either", "256MiB", '"256MiB"'], ["either", "1024", "1024"], ["truth", "true", "true"], ["json", '{"a": 1}', '{"a": 1}'],
  ];
  for (const [kind, typed, json] of cases) {
    assert.equal(toJson(kind, typed), json);
    assert.equal(toTyped(kind, json), typed);
  }
  assert.throws(() => toJson("number", "many"));
  assert.equal(toTyped("text", "5"), null);
  assert.equal(toTyped("lines", '["a", 1]'), null);
});

test("a schema becomes fields, needed ones first", () => {
  const made = fields({ properties: { cc: { anyOf: [{ type: "string" }, { type: "array", items: { type: "string" } }] }, n: { anyOf: [{ type: "integer" }, { type: "null" }] }, to: { type: "string" }, zip: { anyOf: [{ type: "string", contentEncoding: "base64" }] } }, required: ["to"] }, null);
  assert.deepEqual(made?.map((one) => [one.name, one.kind]), [["to", "text"], ["cc", "lines"], ["n", "number"]]);
  assert.equal(fields(null, null), null);
  assert.equal(fields({ type: "object" }, null), null);
});

test("a request says what was filled in and nothing else", () => {
  const draft = { ...EMPTY, type: " sleep ", queue: "a", options: { ...EMPTY.options, tags: "x, y,", priority: "-5", retry: "fixed", retry_seconds: "2" } };
  assert.deepEqual(JSON.parse(body(draft, [["payload", '{"ms": 1}']])), { type: "sleep", queue: "a", priority: -5, tags: ["x", "y"], retry: { kind: "fixed", delay: 2 }, payload: { ms: 1 } });
  assert.equal(body({ ...EMPTY, type: "t" }, [["payload", "12345678901234567890"]]), '{"type": "t", "payload": 12345678901234567890}');
  assert.equal(JSON.parse(body({ ...draft, count: "3" }, [])).jobs.length, 3);
  assert.throws(() => body({ ...draft, count: "0" }, []), Unreadable);
  assert.throws(() => body({ ...draft, options: { ...draft.options, priority: "x" } }, []), Unreadable);
});
