// A job that is stored again is the same job, digit by digit.
import assert from "node:assert/strict";
import { test } from "node:test";
import { levels, parse, print, sought, step } from "../src/json/parse.ts";
import { body, carried, header, uploaded, withoutUpload } from "../src/pages/job/request.ts";
import { decode, quote, read } from "../src/pages/job/read.ts";

const BIG = '{"big": 12345678901234567890.10, "__proto__": 1, "a": 1, "a": 2, "é": "\\n'.concat("it's", '"}');

test("payloads go as they were written", () => {
  assert.deepEqual(carried(BIG, false), [["payload", BIG]]);
  assert.deepEqual(carried(" \n", false), []);
  const text = BIG.replace("{", '{"upload": {"bytes": 1, "sha256": "00", "entries": 1}, ');
  assert.ok(uploaded(parse(text)));
  assert.deepEqual(carried(text, true), [["payload", print(parse(BIG))]]);
  assert.equal(print(withoutUpload(parse("[1]"))), "[1]");
});

test("a member of a payload that is only called upload is no archive", () => {
  for (const text of ['{"upload": {}}', '{"upload": "sha256"}', '{"upload": null}', "[]", "null", '{"a": {"upload": {"sha256": ""}}}']) assert.ok(!uploaded(parse(text)), text);
  assert.ok(!uploaded(null));
});

test("a header is one line of ASCII that means the same", () => {
  const line = header([["tags", JSON.stringify(["é", "\u007f😀\n"])], ["payload", '{\n\t"n": 1.0\r\n}']]);
  assert.match(line, /^[\x20-\x7e]*$/);
  assert.deepEqual(JSON.parse(line), { tags: ["é", "\u007f😀\n"], payload: { n: 1 } });
  assert.ok(line.includes("1.0"));
  assert.equal(body([["a", "1.50"], ["b", "[]"]]), '{"a": 1.50, "b": []}');
});

test("a job is read with the payload as it is, and small parts as values", () => {
  const { job, payload, result, details } = read(`{"id": "x", "payload": ${BIG}, "result": 1e400, "error": {"type": "E", "message": "m", "details": {"n": 0.10}}}`);
  assert.equal(job.id, "x");
  assert.equal(print(payload as never), print(parse(BIG)));
  assert.equal(print(result as never), "1e400");
  assert.equal(print(details as never), '{"n": 0.10}');
  assert.deepEqual([...decode("AP+A")], [0, 255, 128]);
});

test("a shell takes what is quoted as it is", () => {
  assert.equal(quote("it's $HOME `x` \\"), "'it'\\''s $HOME `x` \\'");
});

test("paths and values are those of the filter", () => {
  assert.equal(step(step("", "a.b:c\\d"), "0"), "a\\.b\\:c\\\\d.0");
  const values: [string, string][] = [['"paid"', "paid"], ['"42"', '"42"'], ["42", "42"], ['"true"', '"true"'], ["null", "null"], ['"a b"', "a b"], ['"\\"q"', '"\\"q"'], ["12345678901234567890", "12345678901234567890"]];
  for (const [text, value] of values) assert.equal(sought(parse(text)), value, text);
});

test("only so much is opened at once", () => {
  const wide = parse(`[${"[1,2,3],".repeat(999)}[1]]`);
  assert.equal(levels(wide, 2000, 100), 3);
  assert.equal(levels(wide, 200, 100), 1);
  assert.equal(levels(parse("1"), 2000, 100), 1);
});

test("texts of megabytes are read", () => {
  for (const part of ["a", "\\n"]) assert.equal(print(parse(`"${part.repeat(12_000_000)}"`)).length, part.length * 12_000_000 + 2);
});
