// JSON is shown as it was written.
import assert from "node:assert/strict";
import { test } from "node:test";
import { member, NotJson, parse, plain, print } from "../src/json/parse.ts";

test("nothing of it is lost", () => {
  const text = '{"b": 12345678901234567890.10, "2": -0.0, "1": 1e400, "__proto__": {"constructor": null}, "b": [true, false, [], {}], "é\\u0000\\"": "\\ud83d\\ude00 <script>"}';
  const node = parse(text);
  assert.equal(print(node), text.replace("\\ud83d\\ude00", "😀"));
  assert.equal(print(parse(print(node, 2))), print(node));
  assert.deepEqual(plain(member(node, "b") as never), [true, false, [], {}]);
  assert.equal(({} as { constructor: unknown }).constructor, Object);
});

test("what JSON is and what is none is what JavaScript says", () => {
  const texts = ["1", " [1 , 2] ", '""', "null", "01", "1.", "-", "+1", ".5", "[1,]", "{,}", '{"a"}', '{"a":}', "{a:1}", "'a'", '"\n"', '"\\x"', "nul", "1 2", "", "[", '{"a":1', "\u00a01", "NaN", '"\\u12"', '{"a":1,}', "[[]", "tru", "-1e5", "1e", "true false"];
  for (const text of texts) {
    const good = (() => { try { JSON.parse(text); return true; } catch { return false; } })();
    assert.equal((() => { try { parse(text); return true; } catch (error) { assert.ok(error instanceof NotJson); return false; } })(), good, text);
  }
});

test("it says where the fault is", () => {
  const where = (text: string) => { try { parse(text); } catch (error) { const { what, line, column, sign } = error as NotJson; return [what, line, column, sign]; } return null; };
  assert.deepEqual(where('{\n  "a": 1,\n  b: 2\n}'), ["text", 3, 3, "b"]);
  assert.deepEqual(where('{"a": 1 "b"'), ["sign", 1, 9, '"']);
  assert.deepEqual(where('{"a": "b\nc"}'), ["sign", 1, 9, "\\n"]);
  assert.deepEqual(where("[-x]"), ["number", 1, 2, "-"]);
  assert.deepEqual(where('[1,\n'), ["end", 2, 1, ""]);
  assert.equal(where("[".repeat(100_000))?.[0], "deep");
});
