/** JSON to look into: opened piece by piece, however large it is. Arrow keys walk; a name that is pressed is picked,
 * to copy its path or value, or to find what has the same. */
import { useState } from "preact/hooks";
import { Button, copy, Copy } from "../parts/basics.tsx";
import { levels, print, step, type Node } from "./parse.ts";
import { t } from "./texts.ts";
import "./json.css";

const MANY = 100;
const LONG = 600;
/** Signs that are drawn as text at once. */
const RAW = 500_000;
/** Levels that are open in the beginning, and lines that this may make; lines that "open all" may make. */
const NEAR = 2;
const FEW = 200;
const MOST = 2000;

interface Picked {
  path: string;
  node: Node;
}

interface ViewProps {
  value: Node;
  /** What it is. */
  label: string;
  /** The address of what has this value there; its path as the filter `payload` wants it. */
  find?: (path: string, value: Node) => string;
}

export function JsonView({ value, label, find }: ViewProps) {
  const [raw, setRaw] = useState(false);
  const [picked, setPicked] = useState<Picked | null>(null);
  // A new number makes a new tree, in which everything is open down to the level.
  const [whole, setWhole] = useState(() => ({ turn: 0, open: Math.min(NEAR, levels(value, FEW, MANY)) }));
  const deep = value.kind === "object" || value.kind === "array";
  const open = (level: number) => setWhole({ turn: whole.turn + 1, open: level });
  return (
    <div class="json">
      <div class="json-acts">
        {deep && !raw && <Button small kind="quiet" onClick={() => open(levels(value, MOST, MANY))}>{t("expand")}</Button>}
        {deep && !raw && <Button small kind="quiet" onClick={() => open(0)}>{t("collapse")}</Button>}
        <Button small kind="quiet" onClick={() => setRaw(!raw)}>{t(raw ? "tree" : "raw")}</Button>
        <Copy text={() => print(value, 2)} label={label} />
      </div>
      {raw ? (
        <Raw text={print(value, 2)} />
      ) : (
        <div class="json-tree" role="group" aria-label={label} key={whole.turn} onKeyDown={walk}>
          <Value node={value} path="" depth={0} open={whole.open} picked={picked?.path} pick={setPicked} />
        </div>
      )}
      {picked && !raw && (
        <div class="json-picked" role="status">
          <code>{picked.path}</code>
          <Button small kind="quiet" icon="copy" onClick={() => copy(picked.path)}>{t("path")}</Button>
          <Button small kind="quiet" icon="copy" onClick={() => copy(picked.node.kind === "string" ? picked.node.value : print(picked.node, 2))}>{t("value")}</Button>
          {find && picked.node.kind !== "object" && picked.node.kind !== "array" && <a class="button quiet small" href={find(picked.path, picked.node)}>{t("same")}</a>}
        </div>
      )}
    </div>
  );
}

interface ValueProps {
  node: Node;
  name?: string;
  path: string;
  depth: number;
  /** As many levels are open. */
  open: number;
  picked: string | undefined;
  pick: (what: Picked) => void;
}

function Value({ node, name, path, depth, open: levels, picked, pick }: ValueProps) {
  const [open, setOpen] = useState(depth < levels);
  const [most, setMost] = useState(MANY);
  const label = name !== undefined && (
    <>
      <button type="button" class="json-name" aria-pressed={picked === path} onClick={() => pick({ path, node })}>{name}</button>
      <span class="json-sign">: </span>
    </>
  );
  if (node.kind !== "object" && node.kind !== "array") return <div class="json-line">{label}<Leaf node={node} /></div>;
  const [left, right] = node.kind === "object" ? "{}" : "[]";
  const many = node.kind === "object" ? node.members.length : node.items.length;
  if (!many) return <div class="json-line">{label}<span class="json-sign">{left}{right}</span></div>;
  const children = open ? (node.kind === "object" ? node.members.slice(0, most) : node.items.slice(0, most).map((item, at): [string, Node] => [String(at), item])) : [];
  return (
    <div class="json-part">
      <div class="json-line">
        <button type="button" class="json-fold" aria-expanded={open} aria-label={`${t(open ? "shut" : "open")} ${path || "$"}`} onClick={() => setOpen(!open)} />
        {label}
        <span class="json-sign">{left}</span>
        {!open && <button type="button" class="json-size" tabIndex={-1} onClick={() => setOpen(true)}>{t(node.kind === "object" ? "members" : "items", { n: many })}</button>}
        {!open && <span class="json-sign">{right}</span>}
      </div>
      {open && (
        <div class="json-inner">
          {children.map(([child, value], at) => (
            <Value key={at} node={value} name={child} path={step(path, child)} depth={depth + 1} open={levels} picked={picked} pick={pick} />
          ))}
          {many > most && <Button small onClick={() => setMost(most + 10 * MANY)}>{t("more", { n: Math.min(10 * MANY, many - most), of: many - most })}</Button>}
        </div>
      )}
      {open && <div class="json-line"><span class="json-sign">{right}</span></div>}
    </div>
  );
}

function Leaf({ node }: { node: Node }) {
  const [all, setAll] = useState(false);
  if (node.kind !== "string") return <span class={`json-${node.kind}`}>{print(node)}</span>;
  const long = node.value.length > LONG && !all;
  return (
    <span class="json-string">
      {JSON.stringify(long ? node.value.slice(0, LONG) : node.value)}
      {long && <Button small kind="quiet" onClick={() => setAll(true)}>{t("long", { n: node.value.length })}</Button>}
    </span>
  );
}

function Raw({ text }: { text: string }) {
  const [all, setAll] = useState(text.length <= RAW);
  return (
    <>
      <pre class="json-raw" tabIndex={0}>{all ? text : `${text.slice(0, RAW)} …`}</pre>
      {!all && <Button small onClick={() => setAll(true)}>{t("long", { n: text.length })}</Button>}
    </>
  );
}

/** Up and down go from line to line, right opens and goes in, left shuts and goes out. */
function walk(event: KeyboardEvent & { currentTarget: HTMLElement }): void {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const stops = [...event.currentTarget.querySelectorAll<HTMLElement>(".json-fold, .json-line > .json-name:first-child")];
  const line = (event.target as HTMLElement).closest(".json-line");
  const at = stops.findIndex((one) => one.parentElement === line);
  const stop = stops[at];
  if (!stop) return;
  const open = stop.getAttribute("aria-expanded");
  let next: HTMLElement | null | undefined;
  if (event.key === "ArrowDown") next = stops[at + 1];
  else if (event.key === "ArrowUp") next = stops[at - 1];
  else if (event.key === "Home") next = stops[0];
  else if (event.key === "End") next = stops.at(-1);
  else if (event.key === "ArrowRight" && open === "true") next = stops[at + 1];
  else if (event.key === "ArrowLeft" && open !== "true") next = line?.closest(".json-inner")?.parentElement?.querySelector<HTMLElement>(".json-fold");
  else if (event.key === "ArrowRight" || event.key === "ArrowLeft") {
    if (open !== null) stop.click();
    next = stop;
  } else return;
  event.preventDefault();
  next?.focus();
}
