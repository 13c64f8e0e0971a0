/** From what /v1/stats tells to lines. */
import type { Figures, Series } from "../../api/types.ts";

export const RANGES = {
  "5m": { last: 300, resolution: "5s", every: 5_000 },
  "1h": { last: 3_600, resolution: "1m", every: 15_000 },
  "24h": { last: 86_400, resolution: "1m", every: 60_000 },
} as const;
export type Range = keyof typeof RANGES;
export const isRange = (text: string | null): text is Range => text !== null && Object.hasOwn(RANGES, text);

type Values = readonly (number | null)[];
type Counted = "enqueued" | "done" | "failed";

export function address(range: Range, queue: string | null = null): string {
  const { last, resolution } = RANGES[range];
  return `v1/stats?resolution=${resolution}&last=${last}${queue === null ? "" : `&queue=${encodeURIComponent(queue)}`}`;
}

/** Seconds, one a point: where it begins. */
export function moments(of: Figures): number[] {
  const since = Date.parse(of.since) / 1000;
  return Array.from({ length: of.points }, (_, place) => since + place * of.resolution);
}

/** What there is nothing of is no series at all: a time in which the server was up, and nothing happened. */
export function counts(of: Figures, name: Counted): Values {
  return of.series[0]?.[name] ?? [];
}

export function perSecond(of: Figures, name: Counted): Values {
  return counts(of, name).map((value) => (value === null ? null : value / of.resolution));
}

export function depth(of: Figures, name: "pending" | "running" | "scheduled" | "oldest_age"): Values {
  return of.series[0]?.[name] ?? [];
}

export function quantile(of: Figures, name: "wait" | "run", which: keyof Series["wait"]): Values {
  return of.series[0]?.[name][which] ?? [];
}

/** Failures of a day up to now: those of its minutes, and those since that a finer series knows. */
export function failedOf(day: Figures | undefined, recent: Figures | undefined): number | null {
  const whole = day?.series[0]?.totals.failed;
  if (day === undefined || whole === undefined) return null;
  const until = Date.parse(day.until) / 1000;
  if (recent === undefined) return whole;
  const at = moments(recent);
  return counts(recent, "failed").reduce<number>((sum, value, place) => ((at[place] ?? 0) >= until ? sum + (value ?? 0) : sum), whole);
}

/** The same in fewer points: the sums of neighbours. */
export function pooled(values: Values, points: number): (number | null)[] {
  const length = Math.ceil(values.length / points) || 1;
  const found: (number | null)[] = [];
  for (let place = 0; place < values.length; place += length) {
    const some = values.slice(place, place + length).filter((value) => value !== null);
    found.push(some.length ? some.reduce((sum, value) => sum + value, 0) : null);
  }
  return found;
}
