/** What a row says of a job; which of it is shown is kept. */
import type { ComponentChildren } from "preact";
import type { Job } from "../../api/types.ts";
import { duration, milliseconds, now, number } from "../../i18n/format.ts";
import { kept } from "../../kept.ts";
import { Bar, State, When } from "../../parts/basics.tsx";
import { href } from "../../route.ts";
import { t } from "./texts.ts";

const NAMES = ["state", "type", "id", "queue", "tags", "created", "started", "finished", "duration", "attempt", "priority", "progress", "worker", "waiting"] as const;
export type Column = (typeof NAMES)[number];
export const COLUMNS: readonly Column[] = NAMES;
export const USUAL: readonly Column[] = ["state", "type", "id", "queue", "tags", "created", "duration", "attempt"];

const some = (value: unknown): value is Column[] => Array.isArray(value) && value.length > 0 && value.every((one) => (NAMES as readonly unknown[]).includes(one));
export const columns = kept<Column[]>("jobs.columns", [...USUAL], some);

/** Choose these, in the order that all have them in; those without which a row says nothing stay. */
export function choose(wanted: readonly string[] | null): void {
  const chosen = NAMES.filter((one) => (wanted ?? USUAL).includes(one) || one === "type" || one === "state");
  columns.value = chosen;
}

/** Members of a job as /v1 names them, for a file with what is shown. */
export function members(): string {
  const named: Record<Column, string[]> = {
    state: ["state"], type: ["type"], id: [], queue: ["queue"], tags: ["tags"], created: ["created_at"], started: ["started_at"], finished: ["finished_at"],
    duration: ["started_at", "finished_at"], attempt: ["attempt"], priority: ["priority"], progress: ["progress"], worker: ["worker"], waiting: ["waiting_because"],
  };
  return [...new Set(["id", ...columns.value.flatMap((one) => named[one])])].join(",");
}

export const isNumber = (column: Column): boolean => ["duration", "attempt", "priority"].includes(column);

const nothing = <span class="nothing">–</span>;

const CELLS: Record<Column, (job: Job) => ComponentChildren> = {
  state: (job) => (
    <span class="jobs-state">
      <State state={job.state} />
      {job.state === "running" && typeof job.progress?.value === "number" && <small class="number">{percent(job.progress.value)}</small>}
      {job.state === "running" && job.cancel_requested && <small>{t("stopping")}</small>}
    </span>
  ),
  type: (job) => <a class="jobs-link" href={href(["job", job.id])} title={job.type}>{job.type}</a>,
  // The end of an id tells jobs apart; its beginning is the time.
  id: (job) => <code class="jobs-id" title={job.id}>{job.id.slice(-8)}</code>,
  queue: (job) => <span title={job.queue}>{job.queue}</span>,
  tags: (job) => (job.tags.length ? <span class="jobs-tags" title={job.tags.join("\n")}>{job.tags.slice(0, 2).map((tag) => <span class="tag" key={tag}>{tag}</span>)}{job.tags.length > 2 && <small class="note">+{job.tags.length - 2}</small>}</span> : nothing),
  created: (job) => <When at={job.created_at} />,
  started: (job) => <When at={job.started_at} />,
  finished: (job) => <When at={job.finished_at} />,
  duration: (job) => <Lasted job={job} />,
  attempt: (job) => <span>{number(job.attempt)}<span class="note">/{number(job.max_attempts)}</span></span>,
  priority: (job) => number(job.priority),
  progress: (job) => (job.progress ? <span class="jobs-progress" title={job.progress.message ?? undefined}><Bar value={job.progress.value} label={t("col.progress")} /><small class="note">{job.progress.message}</small></span> : nothing),
  worker: (job) => (job.worker ? <span title={job.worker}>{job.worker}</span> : nothing),
  waiting: (job) => (job.waiting_because ? <span class="note" title={job.waiting_because}>{job.waiting_because}</span> : job.state === "scheduled" ? <span class="note"><When at={job.run_at} /></span> : nothing),
};

export const cell = (column: Column, job: Job): ComponentChildren => CELLS[column](job);

function Lasted({ job }: { job: Job }) {
  if (!job.started_at || job.state === "pending" || job.state === "scheduled") return nothing;
  const end = job.finished_at ? milliseconds(job.finished_at) : now.value;
  return <span>{duration(Math.max(0, job.finished_at ? end - milliseconds(job.started_at) : Math.floor((end - milliseconds(job.started_at)) / 1000) * 1000) / 1000)}</span>;
}

const percent = (value: number): string => `${Math.floor(value * 100)} %`;
