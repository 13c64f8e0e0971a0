/** Payloads as they are written: members of an object with the text of their values, so that no digit is lost between
 * the form and the editor. */

export type Members = [name: string, value: string][];

/** The members of a JSON object in their order; null when the text is no object, or names a member twice. */
export function split(text: string): Members | null {
  try {
    const whole: unknown = JSON.parse(text);
    if (typeof whole !== "object" || whole === null || Array.isArray(whole)) return null;
  } catch {
    return null;
  }
  const found: Members = [];
  let at = text.indexOf("{") + 1;
  for (;;) {
    at = skip(text, at, /[\s,]/);
    if (text[at] === "}") break;
    const colon = after(text, at);
    const name = JSON.parse(text.slice(at, colon)) as string;
    const begin = skip(text, text.indexOf(":", colon) + 1, /\s/);
    at = after(text, begin);
    found.push([name, text.slice(begin, at)]);
  }
  return new Set(found.map(([name]) => name)).size === found.length ? found : null;
}

export function join(members: Members): string {
  if (!members.length) return "{}";
  const line = `{${members.map(([name, value]) => `${JSON.stringify(name)}: ${value}`).join(", ")}}`;
  if (line.length < 60) return line;
  return `{\n${members.map(([name, value]) => `  ${JSON.stringify(name)}: ${value}`).join(",\n")}\n}`;
}

/** Where the value that begins here ends. The text is valid JSON. */
function after(text: string, at: number): number {
  let deep = 0;
  do {
    const sign = text[at] ?? "";
    if (sign === '"') {
      for (at += 1; text[at] !== '"'; at += 1) if (text[at] === "\\") at += 1;
      at += 1;
    } else if ("[{".includes(sign)) {
      deep += 1;
      at += 1;
    } else if ("]}".includes(sign)) {
      deep -= 1;
      at += 1;
    } else if (deep && /[\s,:]/.test(sign)) {
      at += 1;
    } else {
      at = skip(text, at, /[^\s,:\]}]/);
    }
  } while (deep);
  return at;
}

function skip(text: string, at: number, what: RegExp): number {
  while (at < text.length && what.test(text[at] ?? "")) at += 1;
  return at;
}
