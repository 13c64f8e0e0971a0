// The language of the search box.
import assert from "node:assert/strict";
import { test } from "node:test";
import { fromQuery, moment, parse, print, tokens, toFilter, toParams, toQuery, written, type Search } from "../src/pages/jobs/search.ts";

test("qualifiers, lists, quotes, members of the payload and free text", () => {
  const { search, issues } = parse('state:failed,pending Queue:emails,"a, b" tag:x tag:"two words" payload.user.id:42 resize big  error:"timed out"');
  assert.deepEqual(issues, []);
  assert.deepEqual(search, {
    state: ["failed", "pending"], queue: ["emails", "a, b"], tag: ["x", "two words"], payload: ["user.id:42"], q: ["resize big"], error: ["timed out"],
  });
  assert.deepEqual(parse('payload.user\\ name:"in progress"').search, { payload: ['user name:"in progress"'] });
  assert.deepEqual(parse("payload:a\\.b\\:c:1").search, { payload: ["a\\.b\\:c:1"] });
  assert.deepEqual(parse('"state:failed" "say \\"hi\\""').search, { q: ['state:failed say "hi"'] });
});

test("what is wrong is told", () => {
  const told = (text: string) => parse(text).issues.map(({ kind, name }) => `${kind} ${name}`);
  assert.deepEqual(told("color:red http://x"), ["unknown color", "unknown http"]);
  assert.deepEqual(told("queue: payload.user.id: tag:a,"), ["empty queue", "empty payload"]);
  assert.deepEqual(told("payload.user"), ["empty payload"]);
  assert.deepEqual(told("worker:a worker:b"), ["twice worker"]);
  assert.deepEqual(told("state:lost since:soon id:xyz until:2026-99-01"), ["state state", "time since", "time until", "id id"]);
});

test("what is printed reads the same", () => {
  const all: Search[] = [
    {},
    { state: ["failed"], q: ["some words"] },
    { queue: ["a,b", 'q"uote', "back\\slash", "é 😀"], type: ["mod:task"], tag: ["a b", "c:d", "<script>"] },
    { q: ["state:failed"] }, { q: ["a  b"] }, { q: [' "x" '] }, { q: ["c:\\dir"] }, { q: ["payload.x"] },
    { payload: ["user.id:42", 'user.id:"42"', "a\\.b\\:c:null", 'note:"two words"', "user name:x"] },
    { worker: ["w 1"], id: ["01ab"], fingerprint: ["0f"], error: ['"quoted", comma'], since: ["2h"], until: ["2026-01-31T08:30:00Z"] },
  ];
  for (const search of all) {
    assert.deepEqual(parse(print(search)), { search, issues: [] }, print(search));
    const query = new URLSearchParams();
    for (const [name, value] of Object.entries(toQuery(search))) for (const one of typeof value === "string" ? [value] : (value ?? [])) query.append(name, one);
    assert.deepEqual(fromQuery(new URLSearchParams(query.toString())), search);
  }
  // A value with spaces that was no string of JSON becomes one, and stays so.
  assert.equal(print({ payload: ["note:two words"] }), 'payload.note:"two words"');
});

test("as /v1 takes it", () => {
  const now = Date.parse("2026-01-31T08:30:00Z");
  const search = parse("state:failed,done queue:a queue:b type:t since:2h").search;
  assert.deepEqual(toParams(search, now), { state: "failed,done", queue: ["a", "b"], type: "t", since: "2026-01-31T06:30:00.000Z" });
  assert.deepEqual(toFilter({}, now), { filter: {}, all: true });
  assert.deepEqual(toFilter({ tag: ["x"] }, now), { filter: { tag: "x" }, all: false });
  assert.equal(moment("2026-01-31", 0, true), Date.parse("2026-01-31T00:00Z"));
  assert.equal(moment("1.5h", now), now - 5_400_000);
  assert.equal(moment("yesterday", now), null);
});

test("the part at the cursor", () => {
  const text = "big queue:emails,ex payload.user.i";
  const [word, queue, payload] = tokens(text);
  assert.deepEqual([word?.field, word?.start, word?.end], [null, 0, 3]);
  assert.deepEqual([queue?.field, text.slice(queue?.value, queue?.end)], ["queue", "ex"]);
  assert.deepEqual([payload?.field, text.slice(payload?.value, payload?.end)], ["payload", "user.i"]);
  assert.equal(written("queue", "a, b"), 'queue:"a, b"');
});
