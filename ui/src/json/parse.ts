/** JSON as it is written: numbers with all their digits, members in their order, also those called `__proto__` and
 * those that are there twice. For showing, not for computing. */

export type Node =
  | { kind: "object"; members: [name: string, value: Node][] }
  | { kind: "array"; items: Node[] }
  | { kind: "string"; value: string }
  | { kind: "number"; text: string }
  | { kind: "boolean"; value: boolean }
  | { kind: "null" };

/** What is wrong, and where: line and column from 1. */
export class NotJson extends Error {
  what: "end" | "sign" | "text" | "number" | "deep";
  sign: string;
  line: number;
  column: number;

  constructor(what: NotJson["what"], text: string, at: number) {
    super(`${what} at ${at}`);
    const before = text.slice(0, at);
    this.what = at >= text.length ? "end" : what;
    const sign = [...text.slice(at, at + 2)][0] ?? "";
    this.sign = sign < " " ? JSON.stringify(sign).slice(1, -1) : sign;
    this.line = before.split("\n").length;
    this.column = at - before.lastIndexOf("\n");
  }
}

const DEEP = 500;
const SPACE = /[ \t\n\r]*/y;
const NUMBER = /-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?/y;
const PLAIN = /[^"\\\u0000-\u001f]+/y;
const ESCAPE = /\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4})/y;
const WORDS: [string, Node][] = [["true", { kind: "boolean", value: true }], ["false", { kind: "boolean", value: false }], ["null", { kind: "null" }]];

export function parse(text: string): Node {
  let at = 0;

  const space = () => {
    SPACE.lastIndex = at;
    SPACE.exec(text);
    at = SPACE.lastIndex;
  };
  const fail = (what: NotJson["what"] = "sign"): never => {
    throw new NotJson(what, text, at);
  };
  const match = (pattern: RegExp): string | null => {
    pattern.lastIndex = at;
    const found = pattern.exec(text)?.[0] ?? null;
    if (found !== null) at += found.length;
    return found;
  };
  const string = (): string => {
    const start = at;
    if (text[at] !== '"') fail("text");
    at += 1;
    // Piece by piece: one pattern for all of it would run out of stack in a text of some megabytes.
    while (text[at] !== '"') if (match(PLAIN) === null && match(ESCAPE) === null) fail();
    at += 1;
    return JSON.parse(text.slice(start, at)) as string;
  };
  const value = (deep: number): Node => {
    if (deep > DEEP) fail("deep");
    space();
    const sign = text[at];
    if (sign === "{") {
      const members: [string, Node][] = [];
      list("}", () => {
        space();
        const name = string();
        space();
        if (text[at] !== ":") fail();
        at += 1;
        members.push([name, value(deep + 1)]);
      });
      return { kind: "object", members };
    }
    if (sign === "[") {
      const items: Node[] = [];
      list("]", () => void items.push(value(deep + 1)));
      return { kind: "array", items };
    }
    if (sign === '"') return { kind: "string", value: string() };
    for (const [word, node] of WORDS) {
      if (text.startsWith(word, at)) {
        at += word.length;
        return node;
      }
    }
    const number = match(NUMBER);
    return number === null ? fail(/[-+.\d]/.test(sign ?? "") ? "number" : "sign") : { kind: "number", text: number };
  };
  const list = (end: string, one: () => void) => {
    at += 1;
    space();
    if (text[at] === end) {
      at += 1;
      return;
    }
    for (;;) {
      one();
      space();
      const sign = text[at];
      if (sign !== "," && sign !== end) fail();
      at += 1;
      if (sign === end) return;
    }
  };

  const whole = value(0);
  space();
  if (at < text.length) fail();
  return whole;
}

/** Back to text; `indent` spaces a level, or all in one line. */
export function print(node: Node, indent = 0, before = ""): string {
  const inner = before + " ".repeat(indent);
  const open = indent ? `\n${inner}` : "";
  const comma = indent ? `,\n${inner}` : ", ";
  const close = indent ? `\n${before}` : "";
  switch (node.kind) {
    case "object":
      return node.members.length ? `{${open}${node.members.map(([name, value]) => `${JSON.stringify(name)}: ${print(value, indent, inner)}`).join(comma)}${close}}` : "{}";
    case "array":
      return node.items.length ? `[${open}${node.items.map((item) => print(item, indent, inner)).join(comma)}${close}]` : "[]";
    case "string":
      return JSON.stringify(node.value);
    case "number":
      return node.text;
    case "boolean":
      return String(node.value);
    case "null":
      return "null";
  }
}

/** A member of an object; the last one of that name, as programs read it. */
export function member(node: Node | undefined, name: string): Node | undefined {
  return node?.kind === "object" ? node.members.findLast(([one]) => one === name)?.[1] : undefined;
}

/** As JavaScript has it: digits may go. For what is known to be small. */
export function plain(node: Node): unknown {
  return JSON.parse(print(node));
}

/** The path of a member, as the filter `payload` wants it: `items.0.sku`. */
export function step(path: string, name: string): string {
  return `${path}${path && "."}${name.replace(/[.:\\]/g, "\\$&")}`;
}

/** A value as that filter wants it: texts bare unless they could be read as something else. */
export function sought(node: Node): string {
  if (node.kind !== "string") return print(node);
  const quoted = JSON.stringify(node.value);
  try {
    JSON.parse(node.value);
    return quoted;
  } catch {
    return node.value.startsWith('"') ? quoted : node.value;
  }
}

/** How many levels may be open, at least one, so that at most so many lines are drawn; `wide` in each list. */
export function levels(node: Node, lines: number, wide: number): number {
  let row: Node[] = [node];
  let count = 1;
  let deep = 0;
  while (row.length) {
    row = row.flatMap((one) => (one.kind === "object" ? one.members.slice(0, wide).map(([, value]) => value) : one.kind === "array" ? one.items.slice(0, wide) : []));
    count += row.length;
    if (count > lines) break;
    deep += 1;
  }
  return Math.max(1, deep);
}
