import type { Queue } from "../../api/types.ts";
import { setQuery } from "../../route.ts";
import { t } from "./texts.ts";

export interface Order {
  by: Column;
  up: boolean;
}

const VALUES = {
  name: (one: Queue) => one.name,
  pending: (one: Queue) => one.pending,
  scheduled: (one: Queue) => one.scheduled,
  running: (one: Queue) => one.running,
  failed: (one: Queue) => one.failed,
  age: (one: Queue) => one.oldest_age ?? -1,
  workers: (one: Queue) => one.workers,
};
type Column = keyof typeof VALUES;
const COLUMNS = ["name", "depth", "pending", "scheduled", "running", "failed", "age", "rates", "hour", "workers", "acts"] as const;
const NUMBERS: readonly string[] = ["pending", "scheduled", "running", "failed", "age", "rates", "workers"];

const sortable = (name: string): name is Column => name in VALUES;

/** `?sort=pending` is the fullest first, `-pending` the emptiest; names go from A to Z. */
export function sortOf(query: URLSearchParams): Order {
  const said = query.get("sort") ?? "name";
  const by = said.replace(/^-/, "");
  const turned = said.startsWith("-");
  return sortable(by) ? { by, up: (by === "name") !== turned } : { by: "name", up: true };
}

export function sorted(queues: readonly Queue[], { by, up }: Order): Queue[] {
  const value = VALUES[by];
  const compare = (a: Queue, b: Queue) => {
    const [left, right] = [value(a), value(b)];
    if (left === right) return a.name < b.name ? -1 : 1;
    return (left < right ? -1 : 1) * (up ? 1 : -1);
  };
  return [...queues].sort(compare);
}

export function Heading({ order }: { order: Order }) {
  return (
    <thead>
      <tr>
        {COLUMNS.map((name) => (
          <th key={name} scope="col" class={NUMBERS.includes(name) ? "number" : undefined} aria-sort={name === order.by ? (order.up ? "ascending" : "descending") : undefined}>
            {sortable(name) ? (
              <button type="button" class="queues-sort" onClick={() => sort(name, order)}>
                {t(name)}
                <i aria-hidden="true">{name === order.by ? (order.up ? "↑" : "↓") : ""}</i>
              </button>
            ) : (
              <span class={name === "acts" ? "unseen" : undefined}>{t(name)}</span>
            )}
          </th>
        ))}
      </tr>
    </thead>
  );
}

function sort(by: Column, now: Order): void {
  const turned = by === now.by && now.up === (by === "name");
  const said = `${turned ? "-" : ""}${by}`;
  setQuery({ sort: said === "name" ? null : said }, { replace: true });
}
