/** uPlot with our colours, and a tip at the pointer. */
import uPlot from "uplot";
import "uplot/dist/uPlot.min.css";
import { locale } from "../i18n/define.ts";
import { absolute, zone } from "../i18n/format.ts";
import type { Line } from "./chart.tsx";

interface Shown {
  at: readonly number[];
  lines: readonly Line[];
  format: (value: number) => string;
}

interface Look {
  height: number;
  group?: string | undefined;
  unit?: "time" | "whole" | undefined;
}

const WHOLE = [1, 2, 5].flatMap((digit) => Array.from({ length: 12 }, (_, zeros) => digit * 10 ** zeros)).sort((a, b) => a - b);
const TIME = [
  ...[1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 0.1, 1].flatMap((unit) => [1, 2, 5].map((digit) => digit * unit)),
  10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 21600, 43200, 86400, 172800, 432000, 864000, 1728000, 4320000, 8640000,
];

export function draw(place: HTMLElement, shown: () => Shown, { height, group, unit }: Look): uPlot {
  const colour = (name: string) => getComputedStyle(place).getPropertyValue(name).trim();
  const { at, lines } = shown();
  const tip = document.createElement("div");
  tip.className = "chart-tip";
  const axis = { stroke: colour("--muted"), font: "11px system-ui, sans-serif", ticks: { show: false } };
  const grid = { stroke: colour("--line"), width: 1 };
  return new uPlot(
    {
      width: place.clientWidth || 300,
      height,
      padding: [8, 8, 0, 0],
      legend: { show: false },
      cursor: { y: false, points: { size: 6 }, drag: { x: false, y: false }, ...(group && { sync: { key: group } }) },
      tzDate: (seconds) => (zone.peek() === "utc" ? uPlot.tzDate(new Date(seconds * 1000), "UTC") : new Date(seconds * 1000)),
      axes: [
        { ...axis, grid: { show: false }, size: 26, space: 70, values: (_, splits) => splits.map((seconds) => clock(seconds)) },
        { ...axis, grid, size: 56, space: 32, ...(unit && { incrs: unit === "time" ? TIME : WHOLE }), values: (_, splits) => splits.map((value) => shown().format(value)) },
      ],
      scales: { y: { range: (_, __, high) => [0, high ? high * 1.08 : 1] } },
      series: [
        {},
        ...lines.map((line) => ({
          stroke: colour(line.colour),
          width: 1.5,
          // A value between two gaps is no line, and is seen all the same.
          points: { show: false, size: 4, fill: colour(line.colour), filter: (plot: uPlot, series: number) => alone(plot.data[series] ?? []) },
          ...(line.area && { fill: soft(colour(line.colour)) }),
        })),
      ],
      hooks: {
        init: [(plot) => void plot.over.append(tip)],
        setCursor: [
          (plot) => {
            const { idx, left = -1 } = plot.cursor;
            const moment = idx === null || idx === undefined ? undefined : shown().at[idx];
            // The others of the group show where, this one also what.
            tip.hidden = moment === undefined || left < 0 || !plot.over.matches(":hover");
            if (moment === undefined || idx === null || idx === undefined) return;
            const rows = shown().lines.map((line) => {
              const value = line.values[idx];
              return row(line, value === null || value === undefined ? "–" : shown().format(value));
            });
            const head = document.createElement("p");
            head.textContent = absolute(moment * 1000, { day: false });
            tip.replaceChildren(head, ...rows);
            const right = left > plot.over.clientWidth / 2;
            tip.style.left = right ? "" : `${left + 12}px`;
            tip.style.right = right ? `${plot.over.clientWidth - left + 12}px` : "";
          },
        ],
      },
    },
    [at as number[], ...lines.map((line) => line.values as (number | null)[])],
    place,
  );
}

/** The places of values that have no neighbours. */
function alone(values: ArrayLike<number | null | undefined>): number[] | null {
  const found: number[] = [];
  const there = (place: number) => values[place] !== null && values[place] !== undefined;
  for (let place = 0; place < values.length; place++) if (there(place) && !there(place - 1) && !there(place + 1)) found.push(place);
  return found.length ? found : null;
}

function row(line: Line, value: string): HTMLElement {
  const whole = document.createElement("p");
  const mark = document.createElement("i");
  mark.style.background = `var(${line.colour})`;
  const figure = document.createElement("b");
  figure.textContent = value;
  whole.append(mark, `${line.label} `, figure);
  return whole;
}

function clock(seconds: number): string {
  return new Intl.DateTimeFormat(locale(), {
    hour: "2-digit",
    minute: "2-digit",
    ...(seconds % 60 && { second: "2-digit" }),
    hourCycle: "h23",
    ...(zone.peek() === "utc" && { timeZone: "UTC" }),
  }).format(seconds * 1000);
}

function soft(colour: string): string {
  return `color-mix(in oklab, ${colour} 14%, transparent)`;
}
