// No text is missing in a language, none has lost a value, none stands in the page by itself, and none is unused.
import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { join, relative } from "node:path";
import { test } from "node:test";
import { defined, language, LANGUAGES, type Language, type Text } from "../src/i18n/define.ts";

const SOURCE = join(import.meta.dirname, "..", "src");
const files = readdirSync(SOURCE, { recursive: true, encoding: "utf8" }).map((name) => join(SOURCE, name));
const code = files.filter((name) => /\.tsx?$/.test(name)).map((name) => ({ name: relative(SOURCE, name), text: readFileSync(name, "utf8") }));
const texts = code.filter(({ name }) => /(^|\/)\w*texts\.ts$/.test(name));
for (const { name } of texts) await import(join(SOURCE, name));

const languages = Object.keys(LANGUAGES) as Language[];
const forms = (text: Text) => (typeof text === "string" ? [text] : [text.one, text.other]);
const values = (text: Text) => [...new Set(forms(text).flatMap((form) => form.match(/\{\w+\}/g) ?? []))].sort();

test("texts are defined where this test finds them", () => {
  assert.ok(defined.length >= texts.length && defined.length > 0);
  for (const { name, text } of code) {
    if (!texts.some((one) => one.name === name) && name !== "i18n/define.ts") assert.ok(!/\bdefine\(/.test(text), `${name}: texts belong into texts.ts`);
  }
});

test("every text is there in every language, with the same values", () => {
  for (const some of defined) {
    for (const one of languages) assert.deepEqual(Object.keys(some[one]).sort(), Object.keys(some.en).sort());
    for (const [key, english] of Object.entries(some.en)) {
      for (const one of languages) {
        const text = some[one][key] as Text;
        for (const form of forms(text)) assert.ok(form.trim(), `${key} (${one}) is empty`);
        assert.deepEqual(values(text), values(english), `${key} (${one}) has other values than the English text`);
      }
    }
  }
});

test("every text is used", () => {
  const rest = code.filter(({ name }) => !texts.some((one) => one.name === name)).map(({ text }) => text).join("\n");
  for (const some of defined) {
    for (const key of Object.keys(some.en)) {
      const family = key.includes(".") ? key.slice(0, key.lastIndexOf(".") + 1) : key;
      assert.ok(rest.includes(`"${key}"`) || rest.includes(`\`${family}\${`) || rest.includes(`"${family}"`) || named(rest, key), `nobody says ${key}`);
    }
  }
});

test("nothing is said in one language only", () => {
  const bare = />\s*([A-Za-z][a-z]+(?:\s+[a-z]+)*[.!?:…]?)\s*<\//g;
  const attribute = /\b(?:title|label|aria-label|placeholder|alt)="([^"{]*[A-Za-z]{2}[^"]*)"/g;
  const names = new Set(["Rota", "Ctrl", "Esc", "Enter", "Tab", "Shift"]);
  for (const { name, text } of code.filter(({ name }) => name.endsWith(".tsx"))) {
    for (const pattern of [bare, attribute]) {
      for (const [, said = ""] of text.matchAll(pattern)) assert.ok(names.has(said), `${name}: “${said}” is not in texts.ts`);
    }
  }
});

test("a number chooses the form, and is written as the language writes it", async () => {
  const { define } = await import("../src/i18n/define.ts");
  const say = define({
    en: { jobs: { one: "{n} job", other: "{n} jobs" } },
    de: { jobs: { one: "{n} Job", other: "{n} Jobs" } },
    sv: { jobs: { one: "{n} jobb", other: "{n} jobb" } },
  });
  defined.pop();
  language.value = "en";
  assert.equal(say("jobs", { n: 1 }), "1 job");
  assert.equal(say("jobs", { n: 1234 }), "1,234 jobs");
  language.value = "de";
  assert.equal(say("jobs", { n: 1234 }), "1.234 Jobs");
  language.value = "en";
});

/** Names that are chosen by a variable: `t(name)` where name is one of a list of words. */
function named(rest: string, key: string): boolean {
  return new RegExp(`[\\s,{\\[(|"']${key.replaceAll(".", "\\.")}["':,\\]})\\s]`).test(rest);
}
