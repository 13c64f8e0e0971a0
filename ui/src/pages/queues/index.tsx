/** The queues: how deep, how old, how fast, served by whom; paused, resumed and cleared here. */
import { useEffect, useState } from "preact/hooks";
import { post } from "../../api/http.ts";
import { useQuery } from "../../api/query.ts";
import type { Figures, Queue } from "../../api/types.ts";
import { number } from "../../i18n/format.ts";
import { pulse } from "../../live/socket.ts";
import { act, Button, Choice, Empty, Fault, Head, Panel, Waiting } from "../../parts/basics.tsx";
import { bulk } from "../../parts/bulk.tsx";
import { useCalm } from "../../parts/calm.ts";
import { Finder } from "../../parts/finder.tsx";
import { place, setQuery } from "../../route.ts";
import { ended, lately } from "./figures.ts";
import { Row, type Doing } from "./row.tsx";
import { Heading, sorted, sortOf } from "./sort.tsx";
import { t } from "./texts.ts";
import "./style.css";

const WHICH = ["all", "waiting", "halted", "unserved"] as const;
type Which = (typeof WHICH)[number];
/** Rows drawn at once. */
const MANY = 100;

export default function QueuesPage() {
  const { query } = place.value;
  const q = query.get("q")?.toLowerCase() ?? "";
  const which = WHICH.find((one) => one === query.get("show")) ?? "all";
  const order = sortOf(query);
  const { data, error, refresh } = useQuery<{ queues: Queue[] }>("v1/queues", { on: () => pulse.value, gap: 2000 });
  const last = useQuery<Figures>("v1/stats?last=30&resolution=5s&group=queue&limit=50", { every: 5000 }).data;
  const hour = useQuery<Figures>("v1/stats?last=3600&resolution=1m&group=queue&limit=50", { every: 30_000 }).data;
  const [most, setMost] = useState(MANY);
  useEffect(() => setMost(MANY), [q, which]);

  const all = data?.queues ?? [];
  const found = sorted(all.filter((one) => one.name.toLowerCase().includes(q) && belongs(one, which)), order);
  const { items, hold } = useCalm(found, (one) => one.name, `${order.by} ${order.up} ${q} ${which}`);
  const fullest = Math.max(1, ...all.map(depth));

  const doing: Doing = {
    pause: async ({ name, paused }) => {
      const verb = paused ? "resume" : "pause";
      if (await act(() => post(`v1/queues/${encodeURIComponent(name)}/${verb}`), t(`did.${verb}`, { queue: name }))) await refresh();
    },
    clear: async ({ name }) => {
      const filter = { queue: name, state: "scheduled,pending" };
      if ((await bulk({ act: "delete", filter, title: t("clear.title", { queue: name }), note: t("clear.note") })) !== null) await refresh();
    },
  };

  const waiting = all.reduce((n, one) => n + one.pending, 0);
  return (
    <>
      <Head title={t("title")} note={data ? t("note", { waiting: number(waiting), n: number(all.length) }) : "…"} />
      <div class="finder-row">
        <Finder label={t("find")} group={t("title")} />
        <Choice<Which> label={t("which")} value={which} options={WHICH.map((one) => [one, t(one)] as const)} onChange={(one) => setQuery({ show: one === "all" ? null : one })} />
      </div>
      {error && <Fault error={error} retry={refresh} />}
      {!data && !error && <Panel><Waiting rows={8} /></Panel>}
      {!!items.length && (
        <Panel class="flush">
          <div class="table-box" tabIndex={0} role="region" aria-label={t("title")} {...hold}>
            <table class="table queues">
              <Heading order={order} />
              {items.slice(0, most).map((one) => (
                <Row key={one.name} of={one} fullest={fullest} last={lately(last, one.name)} hour={ended(hour, one.name)} known={!!last && !!hour} doing={doing} />
              ))}
            </table>
          </div>
          {items.length > most && <p class="queues-rest"><Button kind="quiet" onClick={() => setMost(most + MANY)}>{t("rest", { n: items.length - most })}</Button></p>}
        </Panel>
      )}
      {data && !items.length && (
        <Panel>
          {all.length ? (
            <Empty icon="search" title={t("nofit")}><Button onClick={() => setQuery({ q: null, show: null })}>{t("free")}</Button></Empty>
          ) : (
            <Empty icon="queues" title={t("empty")}><p>{t("empty.text")}</p></Empty>
          )}
        </Panel>
      )}
    </>
  );
}

export const depth = (one: Queue): number => one.pending + one.scheduled + one.running + one.failed;

function belongs(one: Queue, which: Which): boolean {
  if (which === "waiting") return one.pending > 0;
  if (which === "halted") return one.paused;
  return which === "all" || one.workers === 0 || one.types_without_worker.length > 0;
}
