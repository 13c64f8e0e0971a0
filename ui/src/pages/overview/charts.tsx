/** What happened over time: how much, how fast, and what was left. */
import { useMemo, useRef } from "preact/hooks";
import { type Reading, useQuery } from "../../api/query.ts";
import type { Figures, Queue } from "../../api/types.ts";
import { language } from "../../i18n/define.ts";
import { compact, duration, rough } from "../../i18n/format.ts";
import { Choice, Fault } from "../../parts/basics.tsx";
import { Chart, type Line } from "../../parts/chart.tsx";
import { t as p } from "../../parts/texts.ts";
import { place, setQuery } from "../../route.ts";
import { address, depth, isRange, moments, perSecond, quantile, RANGES, type Range } from "./figures.ts";
import { t } from "./texts.ts";

const QUANTILES = [["p50", "--running"], ["p95", "--scheduled"], ["p99", "--pending"]] as const;

/** `atHand`: what others on the page read already, by its address. */
export function Charts({ atHand = {} }: { atHand?: Record<string, Reading<Figures>> }) {
  const { query } = place.value;
  const wanted = query.get("range");
  const range: Range = isRange(wanted) ? wanted : "5m";
  const queue = query.get("queue");
  const wish = address(range, queue);
  const known = atHand[wish];
  const own = useQuery<Figures>(known ? null : wish, { every: RANGES[range].every });
  const { data, error, refresh } = known ?? own;
  const before = useRef<Figures | undefined>(undefined);
  // While another range is on its way the old one stays, so that nothing jumps.
  if (data) before.current = data;
  const shown = data ?? before.current;
  return (
    <section class="overview-charts" aria-label={t("charts")} aria-busy={!data && !error}>
      <header>
        <h2>{t("charts")}</h2>
        <QueueChoice value={queue} />
        <Choice
          label={t("range")}
          value={range}
          onChange={(it) => setQuery({ range: it === "5m" ? null : it })}
          options={(Object.keys(RANGES) as Range[]).map((one) => [one, t(`range.${one}`)] as const)}
        />
      </header>
      {error && <Fault error={error} retry={refresh} />}
      <Lines of={shown} />
    </section>
  );
}

function Lines({ of }: { of: Figures | undefined }) {
  const drawn = useMemo(() => {
    if (!of) return { at: [], rate: [], wait: [], run: [], backlog: [], age: [] };
    const quantiles = (name: "wait" | "run"): Line[] => QUANTILES.map(([which, colour]) => ({ label: which, colour, values: quantile(of, name, which) }));
    return {
      at: moments(of),
      rate: [
        { label: t("line.enqueued"), colour: "--running", values: perSecond(of, "enqueued") },
        { label: t("line.done"), colour: "--done", values: perSecond(of, "done"), area: true },
        { label: t("line.failed"), colour: "--failed", values: perSecond(of, "failed") },
      ] satisfies Line[],
      wait: quantiles("wait"),
      run: quantiles("run"),
      backlog: (["pending", "running", "scheduled"] as const).map((state): Line => ({ label: p(`state.${state}`), colour: `--${state}`, values: depth(of, state), area: state === "pending" })),
      age: [{ label: t("line.oldest"), colour: "--pending", values: depth(of, "oldest_age"), area: true }] satisfies Line[],
    };
  }, [of, language.value]);
  const common = { at: drawn.at, group: "overview", height: 168, waiting: !of };
  return (
    <div class="overview-grid">
      <div class="panel overview-wide"><Chart {...common} title={t("throughput")} lines={drawn.rate} format={rough} /></div>
      <div class="panel"><Chart {...common} title={t("wait")} lines={drawn.wait} format={duration} unit="time" /></div>
      <div class="panel"><Chart {...common} title={t("run")} lines={drawn.run} format={duration} unit="time" /></div>
      <div class="panel"><Chart {...common} title={t("backlog")} lines={drawn.backlog} format={compact} unit="whole" /></div>
      <div class="panel"><Chart {...common} title={t("age")} lines={drawn.age} format={duration} unit="time" /></div>
    </div>
  );
}

function QueueChoice({ value }: { value: string | null }) {
  const { data } = useQuery<{ queues: Queue[] }>("v1/queues", { every: 30_000 });
  const names = data?.queues.map((queue) => queue.name) ?? [];
  const all = value === null || names.includes(value) ? names : [value, ...names];
  return (
    <select class="select overview-queue" aria-label={t("queue")} value={value ?? ""} onChange={(event) => setQuery({ queue: event.currentTarget.value || null })}>
      <option value="">{t("all")}</option>
      {all.map((name) => <option key={name} value={name} selected={name === value}>{name}</option>)}
    </select>
  );
}
