/** JSON to look into: opened piece by piece, however large it is. */
import { useState } from "preact/hooks";
import { Button, copy, Copy } from "../parts/basics.tsx";
import { print, type Node } from "./parse.ts";
import { t } from "./texts.ts";
import "./json.css";

const MANY = 100;
const LONG = 600;
const NEAR = 2;

/** `label` says what it is. */
export function JsonView({ value, label }: { value: Node; label: string }) {
  const [raw, setRaw] = useState(false);
  // A new number makes a new tree, in which everything begins as `all` says.
  const [whole, setWhole] = useState<{ turn: number; all: boolean | null }>({ turn: 0, all: null });
  const deep = value.kind === "object" || value.kind === "array";
  return (
    <div class="json">
      <div class="json-acts">
        {deep && !raw && <Button small kind="quiet" onClick={() => setWhole({ turn: whole.turn + 1, all: true })}>{t("expand")}</Button>}
        {deep && !raw && <Button small kind="quiet" onClick={() => setWhole({ turn: whole.turn + 1, all: false })}>{t("collapse")}</Button>}
        <Button small kind="quiet" onClick={() => setRaw(!raw)}>{t(raw ? "tree" : "raw")}</Button>
        <Copy text={print(value, 2)} label={label} />
      </div>
      {raw ? <pre class="json-raw" tabIndex={0}>{print(value, 2)}</pre> : <div class="json-tree" key={whole.turn}><Value node={value} path="" depth={0} all={whole.all} /></div>}
    </div>
  );
}

interface ValueProps {
  node: Node;
  name?: string;
  path: string;
  depth: number;
  /** All open, all shut, or the first levels open. */
  all: boolean | null;
}

function Value({ node, name, path, depth, all }: ValueProps) {
  const children = node.kind === "object" ? node.members : node.kind === "array" ? node.items.map((item, at) => [String(at), item] as [string, Node]) : null;
  const small = children !== null && children.length <= 40;
  const [open, setOpen] = useState(all ?? (depth < NEAR && small));
  const [most, setMost] = useState(MANY);
  const label = name !== undefined && <Name name={name} path={path} />;
  if (!children) return <div class="json-line">{label}<Leaf node={node} /></div>;
  const [left, right] = node.kind === "object" ? "{}" : "[]";
  if (!children.length) return <div class="json-line">{label}<span class="json-sign">{left}{right}</span></div>;
  const size = t(node.kind === "object" ? "members" : "items", { n: children.length });
  return (
    <div class="json-part">
      <div class="json-line">
        <button type="button" class="json-fold" aria-expanded={open} aria-label={`${t(open ? "shut" : "open")} ${path || "$"}`} onClick={() => setOpen(!open)} />
        {label}
        <span class="json-sign">{left}</span>
        {!open && <button type="button" class="json-size" onClick={() => setOpen(true)}>{size}</button>}
        {!open && <span class="json-sign">{right}</span>}
      </div>
      {open && (
        <div class="json-inner">
          {children.slice(0, most).map(([child, value], at) => (
            <Value key={at} node={value} name={child} path={node.kind === "array" ? `${path}[${child}]` : `${path}${path && "."}${child}`} depth={depth + 1} all={all} />
          ))}
          {children.length > most && <Button small onClick={() => setMost(most + 10 * MANY)}>{t("more", { n: children.length - most })}</Button>}
        </div>
      )}
      {open && <div class="json-line"><span class="json-sign">{right}</span></div>}
    </div>
  );
}

function Name({ name, path }: { name: string; path: string }) {
  return (
    <>
      <button type="button" class="json-name" title={t("path", { path })} onClick={() => copy(path)}>{name}</button>
      <span class="json-sign">: </span>
    </>
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
