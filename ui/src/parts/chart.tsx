/** Lines over time, drawn by uPlot, which is loaded with the first of them. */
import { useEffect, useRef } from "preact/hooks";
import type uPlot from "uplot";
import { absolute, compact, zone } from "../i18n/format.ts";
import { language } from "../i18n/define.ts";
import { dark } from "../theme.ts";
import { t } from "./texts.ts";

export interface Line {
  label: string;
  /** A colour of tokens.css, such as `--done`. */
  colour: string;
  values: readonly (number | null)[];
  /** Filled down to zero. */
  area?: boolean;
}

interface ChartProps {
  title: string;
  /** Seconds, one a point. */
  at: readonly number[];
  lines: readonly Line[];
  /** How a value is written; numbers when nothing is said. */
  format?: (value: number) => string;
  height?: number;
  /** What is pointed at: charts of one group show the same moment. */
  group?: string;
  /** What the values are, so that the steps of the axis are round: seconds, or things of which there is no half. */
  unit?: "time" | "whole";
  /** The first values are still to come. */
  waiting?: boolean;
}

export function Chart({ title, at, lines, format = compact, height = 160, group, unit, waiting = false }: ChartProps) {
  const box = useRef<HTMLDivElement>(null);
  const plot = useRef<uPlot | null>(null);
  const latest = useRef({ at, lines, format });
  latest.current = { at, lines, format };
  const names = lines.map((line) => `${line.label}${line.colour}`).join();
  const look = `${dark.value} ${language.value} ${zone.value}`;

  useEffect(() => {
    const place = box.current;
    if (!place) return;
    let gone = false;
    let watcher: ResizeObserver | undefined;
    void import("./plot.ts").then(({ draw }) => {
      if (gone) return;
      plot.current = draw(place, () => latest.current, { height, group, unit });
      watcher = new ResizeObserver(() => {
        const width = place.clientWidth;
        if (width && width !== plot.current?.width) plot.current?.setSize({ width, height });
      });
      watcher.observe(place);
    });
    return () => {
      gone = true;
      watcher?.disconnect();
      plot.current?.destroy();
      plot.current = null;
    };
  }, [names, look, height, group, unit]);

  useEffect(() => {
    plot.current?.setData([at as number[], ...lines.map((line) => line.values as (number | null)[])]);
  }, [at, lines]);

  const nothing = lines.every((line) => line.values.every((value) => !value));
  return (
    <figure class="chart">
      <figcaption>
        <span class="chart-title">{title}</span>
        <ul class="legend">
          {lines.map((line) => (
            <li key={line.label}>
              <i style={{ background: `var(${line.colour})` }} aria-hidden="true" />
              {line.label}
              <b>{tell(last(line.values), format)}</b>
            </li>
          ))}
        </ul>
      </figcaption>
      <div class="chart-box" style={{ height: `${height}px` }} role="img" aria-label={describe(title, at, lines, format)}>
        <div ref={box} />
        {nothing && !waiting && <p class="chart-empty">{t("chart.empty")}</p>}
      </div>
    </figure>
  );
}

/** A few points as one line, without axes. */
export function Spark({ values, label, colour = "--accent" }: { values: readonly (number | null)[]; label: string; colour?: string }) {
  const high = Math.max(1, ...values.map((value) => value ?? 0));
  const width = 4;
  return (
    <svg class="spark" viewBox={`0 0 ${values.length * width} 24`} preserveAspectRatio="none" role="img" aria-label={label}>
      {values.map((value, place) => {
        const tall = value ? Math.max(1.5, (22 * value) / high) : 0.75;
        return <rect key={place} x={place * width + 0.5} y={24 - tall} width={width - 1} height={tall} style={{ fill: `var(${value ? colour : "--line"})` }} />;
      })}
    </svg>
  );
}

function last(values: readonly (number | null)[]): number | null {
  return values.at(-1) ?? null;
}

function tell(value: number | null, format: (value: number) => string): string {
  return value === null ? "–" : format(value);
}

function describe(title: string, at: readonly number[], lines: readonly Line[], format: (value: number) => string): string {
  const said = lines.map((line) => {
    const known = line.values.filter((value) => value !== null);
    const high = known.length ? Math.max(...known) : null;
    return t("chart.table", { title: line.label, high: tell(high, format), last: tell(last(line.values), format) });
  });
  const [first] = at;
  return `${title}. ${first === undefined ? "" : absolute(first * 1000)}. ${said.join("; ")}`;
}
