/** Texts in the languages of the page. Each page has its own `texts.ts`; a text that is missing in a language is an
 * error of the types, and one with other placeholders fails a test. The build puts each language into a file of its own
 * (texts.plugin.ts), and `say` stands where `define` was written. */
import { effect, signal } from "@preact/signals";
import { kept, oneOf } from "../kept.ts";

export type Language = "en" | "de" | "sv";
export const LANGUAGES: Record<Language, string> = { en: "English", de: "Deutsch", sv: "Svenska" };

/** A text, or one for each number (`{n}` chooses). Names in braces are filled in. */
export type Text = string | { one: string; other: string };
type Texts<K extends string> = Record<K, Text>;
export type Values = Record<string, string | number>;

/** What is wished for; what is shown follows as soon as it is loaded. */
export const language = kept<Language>("language", guess(), oneOf("en", "de", "sv"));

/** All that were defined, for the test of their completeness. */
export const defined: Record<Language, Texts<string>>[] = [];

/** The texts of a part of the page, as a function from a name and values to a text. */
export function define<K extends string>(texts: {
  en: Texts<K>;
  de: Texts<NoInfer<K>>;
  sv: Texts<NoInfer<K>>;
}): (name: K, values?: Values) => string {
  defined.push(texts);
  return (name, values = {}) => fill(texts[language.value][name], values);
}

const FILES: Record<Language, () => Promise<{ default: Record<string, Texts<string>> }>> = {
  en: () => import("virtual:texts/en"),
  de: () => import("virtual:texts/de"),
  sv: () => import("virtual:texts/sv"),
};
const loaded: Partial<Record<Language, Record<string, Texts<string>>>> = {};
const shown = signal<Language | null>(null);

/** Begin, once: done when there are texts in a language. */
export async function speak(): Promise<void> {
  await load(language.peek());
  effect(() => {
    const wanted = language.value;
    // Without an answer the page goes on in the language that it has.
    load(wanted).catch(() => undefined);
  });
}

async function load(wanted: Language): Promise<void> {
  loaded[wanted] ??= (await FILES[wanted]()).default;
  if (wanted === language.peek()) shown.value = wanted;
}

/** The texts of a part of the page by its name, in the place of `define` once the page is built. */
export function say(part: string): (name: string, values?: Values) => string {
  return (name, values = {}) => {
    const text = shown.value && loaded[shown.value]?.[part]?.[name];
    return text ? fill(text, values) : "";
  };
}

/** The language as the functions of Intl want it, with the habits of the reader's own region where it fits. */
export function locale(): string {
  const own = typeof navigator === "undefined" ? undefined : navigator.language;
  return own?.startsWith(language.value) ? own : language.value;
}

function fill(text: Text, values: Values): string {
  const chosen = typeof text === "string" ? text : text[plural(Number(values["n"] ?? 0))];
  return chosen.replace(/\{(\w+)\}/g, (whole, name: string) => {
    const value = values[name];
    if (value === undefined) return whole;
    return typeof value === "number" ? value.toLocaleString(locale()) : value;
  });
}

function plural(n: number): "one" | "other" {
  return new Intl.PluralRules(language.value).select(n) === "one" ? "one" : "other";
}

function guess(): Language {
  const wanted = typeof navigator === "undefined" ? [] : navigator.languages;
  for (const one of wanted) {
    const short = one.slice(0, 2);
    if (short in LANGUAGES) return short as Language;
  }
  return "en";
}
