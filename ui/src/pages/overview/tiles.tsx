/** How many and how fast, each a way to the jobs that it counts. */
import type { ComponentChildren } from "preact";
import { useMemo } from "preact/hooks";
import type { Figures } from "../../api/types.ts";
import { compact, duration, number, rough } from "../../i18n/format.ts";
import { pulse } from "../../live/socket.ts";
import { Bar } from "../../parts/basics.tsx";
import { Spark } from "../../parts/chart.tsx";
import { Trend } from "../../parts/trend.tsx";
import { href } from "../../route.ts";
import { counts, depth, failedOf, perSecond, pooled } from "./figures.ts";
import { t } from "./texts.ts";

/** `recent`: five minutes in points of five seconds; `day`: a day. */
export function Tiles({ recent, day }: { recent: Figures | undefined; day: Figures | undefined }) {
  const told = pulse.value;
  const trends = useMemo(
    () => recent && {
      pending: depth(recent, "pending"), running: depth(recent, "running"), scheduled: depth(recent, "scheduled"),
      done: perSecond(recent, "done"), enqueued: perSecond(recent, "enqueued"), oldest: depth(recent, "oldest_age").map((age, place) => age ?? (depth(recent, "pending")[place] === 0 ? 0 : null)),
    },
    [recent],
  );
  const hours = useMemo(() => day && pooled(counts(day, "failed"), 24), [day]);
  const failed = failedOf(day, recent);
  const oldest = told?.queues.reduce<{ name: string; age: number } | null>(
    (most, { name, oldest_age: age }) => (age !== null && age > (most?.age ?? -1) ? { name, age } : most),
    null,
  );
  const busy = told?.queues.filter((queue) => queue.running).length ?? 0;
  const workers = told && t(told.workers.inside ? "sub.inside" : "sub.slots", { n: told.workers.connected - told.workers.inside, inside: told.workers.inside });
  const trend = (name: keyof NonNullable<typeof trends>, colour: string) => <Trend values={trends?.[name] ?? []} colour={colour} label={t("recent", { title: t(name) })} />;
  return (
    <section class="overview-tiles" aria-label={t("now")}>
      <Tile name={t("pending")} to={href(["jobs"], { state: "pending" })} value={told && compact(told.jobs.pending)} exact={told?.jobs.pending} note={t("sub.pending")}>{trend("pending", "--pending")}</Tile>
      <Tile name={t("running")} to={href(["jobs"], { state: "running" })} value={told && compact(told.jobs.running)} exact={told?.jobs.running} note={t("sub.running", { n: busy })}>{trend("running", "--running")}</Tile>
      <Tile name={t("scheduled")} to={href(["jobs"], { state: "scheduled" })} value={told && compact(told.jobs.scheduled)} exact={told?.jobs.scheduled} note={t("sub.scheduled")}>{trend("scheduled", "--scheduled")}</Tile>
      <Tile name={t("failed")} to={href(["failures"])} value={failed === null ? null : compact(failed)} bad={!!failed} note={told ? t("sub.failed", { n: told.jobs.failed }) : ""}>
        <Spark values={hours ?? []} colour="--failed" label={t("day", { title: t("failed") })} />
      </Tile>
      <Tile name={t("enqueued")} to={href(["jobs"])} value={told && rough(told.rates.enqueued)} note={t("sub.enqueued")}>{trend("enqueued", "--accent")}</Tile>
      <Tile name={t("done")} to={href(["jobs"], { state: "done" })} value={told && rough(told.rates.done)} note={t("sub.done")}>{trend("done", "--done")}</Tile>
      <Tile
        name={t("oldest")}
        to={href(["jobs"], { state: "pending", queue: oldest?.name })}
        value={told && (oldest ? duration(oldest.age) : "–")}
        note={oldest ? oldest.name : t("sub.none")}
      >
        {trend("oldest", "--pending")}
      </Tile>
      <Tile
        name={t("slots")}
        to={href(["workers"])}
        value={told && t("slotsof", { used: told.workers.running, all: told.workers.slots })}
        note={told?.workers.draining ? t("sub.draining", { workers: workers ?? "", n: told.workers.draining }) : (workers ?? "")}
      >
        <Bar value={told ? (told.workers.slots ? Math.min(1, told.workers.running / told.workers.slots) : 0) : 0} label={t("slots")} />
      </Tile>
    </section>
  );
}

interface TileProps {
  name: string;
  to: string;
  value: string | null;
  /** The figure to the last digit, for the title. */
  exact?: number | undefined;
  note: string;
  bad?: boolean;
  children: ComponentChildren;
}

function Tile({ name, to, value, exact, note, bad, children }: TileProps) {
  return (
    <a class={`overview-tile${bad ? " bad" : ""}`} href={to}>
      <span class="overview-name">{name}</span>
      <b class="figure" title={exact === undefined ? undefined : number(exact)}>{value ?? "–"}</b>
      <span class="overview-sub" title={note}>{note || " "}</span>
      {children}
    </a>
  );
}
