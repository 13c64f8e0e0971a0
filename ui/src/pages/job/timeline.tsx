/** What became of a job, step by step: how long it waited, who tried it, how that ended. */
import type { ComponentChildren } from "preact";
import { useState } from "preact/hooks";
import type { Attempt, State as JobState, WholeJob } from "../../api/types.ts";
import { duration, milliseconds, now } from "../../i18n/format.ts";
import { Button, Panel, When } from "../../parts/basics.tsx";
import { t } from "./texts.ts";

const ENDS = ["done", "failed", "timeout", "lost", "cancelled", "snoozed", "released"] as const;
const FEW = 6;

export function Timeline({ job }: { job: WholeJob }) {
  const [all, setAll] = useState(false);
  const ended = job.finished_at !== null;
  const running = job.state === "running" && job.started_at !== null;
  const attempts = job.attempts.filter((one) => one.finished_at !== null);
  const hidden = all ? 0 : Math.max(0, attempts.length - FEW);
  const spans = [...attempts.map((one) => seconds(one.started_at, one.finished_at ?? one.started_at)), running ? seconds(job.started_at as string, now.value) : 0];
  const longest = Math.max(0.001, ...spans);
  let before = job.created_at;
  const steps = attempts.map((one) => {
    const wait = seconds(before, one.started_at);
    before = one.finished_at ?? before;
    return <Tried key={`${one.attempt}.${one.lease}`} of={one} wait={wait} longest={longest} />;
  });
  return (
    <Panel title={t("timeline")}>
      <ol class="job-steps">
        <Step state="pending" title={t("created")} at={job.created_at} />
        {hidden > 0 && <li class="job-step more"><Button small kind="quiet" onClick={() => setAll(true)}>{t("earlier", { n: hidden })}</Button></li>}
        {steps.slice(hidden)}
        {running && (
          <Step state="running" title={t("attempt", { n: job.attempt })} at={job.started_at} note={<>{t("waited", { time: duration(seconds(before, job.started_at as string)) })} · {t("on", { worker: job.worker ?? "" })}</>}>
            <Length value={seconds(job.started_at as string, now.value)} of={longest} state="running" label={t("runs", { time: duration(seconds(job.started_at as string, now.value)) })} />
          </Step>
        )}
        {job.state === "scheduled" && <Step state="scheduled" title={t(attempts.length ? "next" : "due")} at={job.run_at} />}
        {job.state === "cancelled" && attempts.at(-1)?.end !== "cancelled" && <Step state="cancelled" title={t("end.cancelled")} at={job.finished_at} note={job.reason} />}
        {ended && job.retention !== null && <Step state="cancelled" title={t("removed")} at={milliseconds(job.finished_at as string) + job.retention * 1000} />}
      </ol>
    </Panel>
  );
}

function Tried({ of, wait, longest }: { of: Attempt; wait: number; longest: number }) {
  const end = ENDS.find((one) => one === of.end);
  const state: JobState = of.end === "done" ? "done" : of.end === "snoozed" || of.end === "released" ? "scheduled" : of.end === "cancelled" ? "cancelled" : "failed";
  const ran = seconds(of.started_at, of.finished_at ?? of.started_at);
  return (
    <Step
      state={state}
      title={<>{t("attempt", { n: of.attempt })}: <span class={`job-end ${state}`}>{end ? t(`end.${end}`) : t("end.other", { end: of.end ?? "" })}</span></>}
      at={of.finished_at}
      note={<>{t("waited", { time: duration(Math.max(0, wait)) })} · <span title={of.worker ?? ""}>{t("on", { worker: of.worker ?? "" })}</span></>}
    >
      <Length value={ran} of={longest} state={state} label={t("ran", { time: duration(ran) })} />
      {of.error && <p class="job-said"><b>{of.error.type}</b> {of.error.message}</p>}
    </Step>
  );
}

function Step({ state, title, at, note, children }: { state: JobState; title: ComponentChildren; at: string | number | null; note?: ComponentChildren; children?: ComponentChildren }) {
  return (
    <li class={`job-step ${state}`}>
      <div class="job-step-head"><span>{title}</span><When at={at} /></div>
      {note && <p class="note">{note}</p>}
      {children}
    </li>
  );
}

function Length({ value, of, state, label }: { value: number; of: number; state: JobState; label: string }) {
  return (
    <div class="job-length">
      <i style={{ width: `${Math.max(1, (100 * value) / of)}%`, background: `var(--${state})` }} />
      <span>{label}</span>
    </div>
  );
}

function seconds(from: string | number, to: string | number): number {
  return Math.max(0, (milliseconds(to) - milliseconds(from)) / 1000);
}
