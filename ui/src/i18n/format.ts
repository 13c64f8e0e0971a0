/** Numbers, lengths of time and times, as people read them. Times come as RFC 3339 or milliseconds. */
import { computed, signal } from "@preact/signals";
import { kept, oneOf } from "../kept.ts";
import { language, locale } from "./define.ts";

export type Zone = "local" | "utc";
export const zone = kept<Zone>("zone", "local", oneOf("local", "utc"));
export const times = kept<"relative" | "absolute">("times", "relative", oneOf("relative", "absolute"));

/** Milliseconds of now; moves once a second while the page is seen. */
export const now = signal(Date.now());
if (typeof document !== "undefined") {
  setInterval(() => {
    if (!document.hidden) now.value = Date.now();
  }, 1000);
}

export const zoneName = computed(() =>
  zone.value === "utc" ? "UTC" : Intl.DateTimeFormat().resolvedOptions().timeZone,
);

export const number = (value: number): string => value.toLocaleString(locale());

/** 1,234 as it is; 12,345 as 12.3k and so on: where the place is small. */
export function compact(value: number): string {
  if (Math.abs(value) < 10_000) return number(value);
  const thousand = { notation: "compact", maximumFractionDigits: Math.abs(value) < 1e6 ? 0 : 1 } as const;
  return value.toLocaleString(locale(), thousand);
}

/** A rate or another figure that need not be exact: three digits are enough. */
export function rough(value: number): string {
  if (value !== 0 && Math.abs(value) < 1) return value.toLocaleString(locale(), { maximumSignificantDigits: 2 });
  return Math.abs(value) < 100
    ? value.toLocaleString(locale(), { maximumFractionDigits: 1 })
    : compact(Math.round(value));
}

export function bytes(value: number): string {
  const units = ["B", "kB", "MB", "GB", "TB"];
  let step = 0;
  while (value >= 999.5 && step < units.length - 1) {
    value /= 1000;
    step += 1;
  }
  const digits = step && value < 10 ? 1 : 0;
  return `${value.toLocaleString(locale(), { maximumFractionDigits: digits })} ${units[step]}`;
}

/** Seconds as `340 ms`, `1.2 s`, `3 min 20 s`, `2 h 5 min`, `4 d 3 h`. */
export function duration(seconds: number): string {
  const short = (value: number, digits: number) => value.toLocaleString(locale(), { maximumFractionDigits: digits });
  const size = Math.abs(seconds);
  if (size < 0.0005) return size ? `${short(seconds * 1e6, 0)} µs` : "0 s";
  if (size < 0.9995) return `${short(seconds * 1000, size < 0.01 ? 1 : 0)} ms`;
  if (size < 59.95) return `${short(seconds, size < 9.995 ? 2 : 1)} s`;
  const units: [string, number][] = [["d", 86400], ["h", 3600], ["min", 60], ["s", 1]];
  let rest = Math.round(size);
  // Two neighbouring units say enough: nobody wants the seconds of a day.
  const first = units.findIndex(([, length]) => rest >= length);
  const parts: string[] = [];
  for (const [unit, length] of units.slice(first, first + 2)) {
    const whole = Math.floor(rest / length);
    rest -= whole * length;
    if (whole) parts.push(`${whole} ${unit}`);
  }
  return (seconds < 0 ? "-" : "") + parts.join(" ");
}

export const milliseconds = (at: string | number): number => (typeof at === "number" ? at : Date.parse(at));

/** `12 seconds ago`, `in 3 minutes`. */
export function relative(at: string | number, from = now.value): string {
  const seconds = (milliseconds(at) - from) / 1000;
  const size = Math.abs(seconds);
  const format = new Intl.RelativeTimeFormat(language.value, { numeric: size < 1 ? "auto" : "always", style: "short" });
  if (size < 1) return format.format(0, "second");
  if (size < 60) return format.format(Math.trunc(seconds), "second");
  if (size < 3600) return format.format(Math.trunc(seconds / 60), "minute");
  if (size < 86400) return format.format(Math.trunc(seconds / 3600), "hour");
  return format.format(Math.trunc(seconds / 86400), "day");
}

/** Date and time in the chosen zone, to the second or (`fine`) to the millisecond. */
export function absolute(at: string | number, { fine = false, day = true } = {}): string {
  return new Intl.DateTimeFormat(locale(), {
    ...(day && { year: "numeric", month: "short", day: "2-digit" }),
    hour: "2-digit",
    minute: "2-digit",
    second: "2-digit",
    ...(fine && { fractionalSecondDigits: 3 }),
    hourCycle: "h23",
    ...(zone.value === "utc" && { timeZone: "UTC" }),
  }).format(milliseconds(at));
}
