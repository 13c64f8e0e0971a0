/** What happened in the queues lately, by their names. */
import type { Figures, Series } from "../../api/types.ts";

export interface Lately {
  /** Per second. */
  in: number;
  out: number;
}

type Counted = readonly (number | null)[];

/** Null for a queue that is told of only among the others. */
export function lately(figures: Figures | undefined, queue: string): Lately | null {
  const series = of(figures, queue);
  if (!figures || series === null) return null;
  const known = series.enqueued.filter((one) => one !== null).length;
  const rate = (...counts: Counted[]) => (known ? counts.reduce((all, one) => all + sum(one), 0) / known / figures.resolution : 0);
  return { in: rate(series.enqueued), out: rate(series.done, series.failed, series.cancelled) };
}

/** Ended jobs, two minutes a point. */
export function ended(figures: Figures | undefined, queue: string): number[] | null {
  const series = of(figures, queue);
  if (!figures || series === null) return null;
  const points = Array<number>(Math.ceil(figures.points / 2)).fill(0);
  for (let place = 0; place < figures.points; place += 1) {
    const here = (series.done[place] ?? 0) + (series.failed[place] ?? 0) + (series.cancelled[place] ?? 0);
    points[Math.floor(place / 2)] = (points[Math.floor(place / 2)] ?? 0) + here;
  }
  return points;
}

const QUIET = { enqueued: [], done: [], failed: [], cancelled: [] };

/** A queue that is not there did nothing, unless there are others. */
function of(figures: Figures | undefined, queue: string): Pick<Series, "enqueued" | "done" | "failed" | "cancelled"> | null {
  const found = figures?.series.find((one) => one.queue === queue && !one.others);
  return found ?? (figures?.series.some((one) => one.others) ? null : QUIET);
}

export const sum = (values: Counted): number => values.reduce<number>((all, one) => all + (one ?? 0), 0);
