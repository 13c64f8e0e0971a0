/** Whether all is well, in words, and what to do if not. */
import { useState } from "preact/hooks";
import { useQuery } from "../../api/query.ts";
import type { Condition, Finding } from "../../api/types.ts";
import type { Values } from "../../i18n/define.ts";
import { locale } from "../../i18n/define.ts";
import { bytes, duration } from "../../i18n/format.ts";
import { pulse } from "../../live/socket.ts";
import { Button, Copy, Fault } from "../../parts/basics.tsx";
import { Icon } from "../../parts/icons.tsx";
import { href } from "../../route.ts";
import { f } from "./findingtexts.ts";

const SHOWN = 3;

export function Banner() {
  const { data, error, refresh } = useQuery<Condition>("v1/condition", { on: () => pulse.value, gap: 4000 });
  const [whole, setWhole] = useState(false);
  // An older server has no opinion.
  if (error?.status === 404) return null;
  if (!data) return error ? <Fault error={error} retry={refresh} /> : <div class="overview-banner" aria-hidden="true" />;
  const shown = whole ? data.findings : data.findings.slice(0, SHOWN);
  const hidden = data.findings.length - SHOWN;
  const jobs = pulse.value?.jobs;
  return (
    <section class={`overview-banner ${data.level}`} aria-label={f("condition")}>
      {data.level === "ok" && (
        <div class="overview-finding ok">
          <Icon name="check" size={20} />
          <div class="overview-said">
            <p class="overview-well">{f("well")}</p>
            <p class="note">{jobs ? f("well.text", { n: jobs.running, pending: jobs.pending }) : " "}</p>
          </div>
        </div>
      )}
      {shown.map((one, place) => <Found key={`${one.code} ${one.queue} ${one.type} ${place}`} of={one} />)}
      {hidden > 0 && <div class="overview-more"><Button kind="quiet" small icon={whole ? "close" : "down"} onClick={() => setWhole(!whole)}>{whole ? f("less") : f("more", { n: hidden })}</Button></div>}
      {error && <Fault error={error} retry={refresh} />}
    </section>
  );
}

function Found({ of }: { of: Finding }) {
  const way = wayTo(of);
  return (
    <div class={`overview-finding ${of.level}`}>
      <Icon name={of.level === "ok" ? "info" : "failures"} size={20} />
      <div class="overview-said">
        <p><span class="unseen">{f(`is.${of.level}`)}: </span>{said(of)}</p>
        {of.command && (
          <p class="overview-command">
            <span class="note">{f("try")}</span>
            <code>{of.command}</code>
            <Copy text={of.command} label={f("command")} />
          </p>
        )}
      </div>
      {way && <a class="button small" href={way[1]}>{f(way[0])}</a>}
    </div>
  );
}

const CODES = [
  "no_worker", "workers_draining", "unknown_type", "queue_paused", "slots_full", "programs_off", "programs_refused", "many_failures", "workers_lost", "workers_silent", "store_slow", "disk_full",
  "server_overloaded", "kafka_behind",
] as const;
type Known = (typeof CODES)[number] | "cases" | "drained";

/** In the reader's language where we know what it is about, else as the server says it. */
export function said(of: Finding): string {
  const known = CODES.find((code) => code === of.code);
  if (known === undefined) return of.sentence;
  let code: Known = known;
  if ("cases" in of.numbers) code = "cases";
  else if (code === "workers_draining" && of.queue !== null) code = "drained";
  const text = f(`code.${code}`, values(of));
  // Another server than this page was made for tells other figures.
  return /\{\w+\}/.test(text) ? of.sentence : text;
}

function values({ numbers, queue, type }: Finding): Values {
  const figure = (name: string) => (typeof numbers[name] === "number" ? numbers[name] : undefined);
  const found: Record<string, string | number | undefined> = {
    queue: queue ?? "",
    type: type ?? "",
    n: figure("cases") ?? figure("failed") ?? figure("jobs") ?? figure("lag") ?? figure("workers"),
    jobs: figure("jobs"),
    slots: figure("slots"),
    partition: figure("partition"),
    topic: numbers["topic"] === undefined ? undefined : String(numbers["topic"]),
    reason: numbers["reason"] === undefined ? undefined : String(numbers["reason"]),
    age: told(figure("oldest_age"), duration),
    time: told(figure("commit_seconds") ?? figure("lag"), duration),
    free: told(figure("free"), bytes),
    total: told(figure("total"), bytes),
    share: told(figure("share"), (share) => share.toLocaleString(locale(), { style: "percent" })),
    all: figure("failed") === undefined ? undefined : (figure("failed") ?? 0) + (figure("done") ?? 0),
  };
  return Object.fromEntries(Object.entries(found).filter((one): one is [string, string | number] => one[1] !== undefined));
}

function told(value: number | undefined, how: (value: number) => string): string | undefined {
  return value === undefined ? undefined : how(value);
}

/** Where that can be seen. */
function wayTo({ code, queue, type }: Finding): readonly ["jobs" | "failures" | "workers" | "queues", string] | null {
  if (code === "many_failures") return ["failures", href(["failures"], type === null ? {} : { type })];
  if (code === "workers_silent" || (code === "workers_draining" && queue === null)) return ["workers", href(["workers"])];
  if (queue !== null) return ["jobs", href(["jobs"], { state: "pending", queue, type })];
  return code === "no_worker" || code === "unknown_type" || code === "queue_paused" ? ["queues", href(["queues"])] : null;
}
