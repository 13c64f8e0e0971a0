import { readdirSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { join, relative } from "node:path";
import { pathToFileURL } from "node:url";
import type { Plugin } from "vite";

const SOURCE = join(import.meta.dirname, "src");
const DEFINE = join(SOURCE, "i18n", "define.ts");
const TEXTS = /texts\.ts$/;
const VIRTUAL = "virtual:texts/";

/** Texts are written side by side in all languages and read in one: this puts those of each language into a file of
 * its own, of which a page loads just one. A module `texts.ts` then holds names only. */
export function texts(): Plugin {
  return {
    name: "rota-texts",
    enforce: "pre",
    resolveId: (id) => (id.startsWith(VIRTUAL) ? `\0${id}` : null),
    async load(id) {
      if (id.startsWith(`\0${VIRTUAL}`)) {
        const language = id.slice(VIRTUAL.length + 1);
        const table = Object.fromEntries((await (whole ??= all())).map(([name, some]) => [name, some[language]]));
        return `export default ${JSON.stringify(table)};`;
      }
      if (!id.startsWith(SOURCE) || !TEXTS.test(id)) return null;
      const lines = (await names(id)).map((name) => `export const ${name} = say(${JSON.stringify(key(id, name))});`);
      return [`import { say } from ${JSON.stringify(DEFINE)};`, ...lines].join("\n");
    },
  };
}

// One reading for all languages: they are asked for at the same time, and `defined` is one list.
let whole: ReturnType<typeof all> | undefined;

async function all(): Promise<[string, Record<string, unknown>][]> {
  const { defined } = (await import(pathToFileURL(DEFINE).href)) as { defined: Record<string, unknown>[] };
  const files = readdirSync(SOURCE, { recursive: true, encoding: "utf8" }).filter((name) => TEXTS.test(name));
  const found: [string, Record<string, unknown>][] = [];
  for (const file of files.sort().map((name) => join(SOURCE, name))) {
    defined.length = 0;
    await import(pathToFileURL(file).href);
    (await names(file)).forEach((name, at) => found.push([key(file, name), defined[at] ?? {}]));
  }
  return found;
}

async function names(file: string): Promise<string[]> {
  return [...(await readFile(file, "utf8")).matchAll(/^export const (\w+) = define\(/gm)].map(([, name]) => name as string);
}

function key(file: string, name: string): string {
  return `${relative(SOURCE, file).replace(/texts\.ts$/, "")}:${name}`;
}
