/** All that is to be known of a job besides what it carries. */
import type { ComponentChildren } from "preact";
import type { Retry, WholeJob } from "../../api/types.ts";
import { duration } from "../../i18n/format.ts";
import { Copy, Panel, When } from "../../parts/basics.tsx";
import { href } from "../../route.ts";
import { ORIGIN } from "./request.ts";
import { t } from "./texts.ts";

export function Facts({ job }: { job: WholeJob }) {
  const headers = Object.entries(job.headers).filter(([name]) => name !== ORIGIN);
  const origin = job.headers[ORIGIN];
  const trace = job.headers["traceparent"]?.split("-")[1];
  return (
    <Panel title={t("facts")}>
      <dl class="job-facts">
        <Fact name={t("id")}><code>{job.id}</code><Copy text={job.id} label={t("id")} /></Fact>
        <Fact name={t("type")}><a href={href(["jobs"], { type: job.type })}>{job.type}</a></Fact>
        <Fact name={t("queue")}><a href={href(["jobs"], { queue: job.queue })}>{job.queue}</a></Fact>
        <Fact name={t("priority")}>{job.priority}</Fact>
        <Fact name={t("attempts")}>{t("attempts.of", { n: job.attempt, most: job.max_attempts })}</Fact>
        <Fact name={t("retries")}>{policy(job.retry)}</Fact>
        {job.timeout !== null && <Fact name={t("timeout")}>{duration(job.timeout)}</Fact>}
        {job.worker && <Fact name={t("worker")}><a href={href(["jobs"], { worker: job.worker })}>{job.worker}</a></Fact>}
        {job.lease_until && <Fact name={t("lease")}>{t("lease.until", { lease: String(job.lease) })} <When at={job.lease_until} /></Fact>}
        {job.losses > 0 && <Fact name={t("losses")}>{job.losses}</Fact>}
        {job.unique_key && <Fact name={t("unique")}><code>{job.unique_key}</code></Fact>}
        {job.expires_at && <Fact name={t("expires")}><When at={job.expires_at} /></Fact>}
        {job.retention !== null && <Fact name={t("kept")}>{t("kept.days", { time: duration(job.retention) })}</Fact>}
        {job.tags.length > 0 && <Fact name={t("tags")}><span class="job-tags">{job.tags.map((tag) => <a key={tag} class="tag" href={href(["jobs"], { tag })}>{tag}</a>)}</span></Fact>}
        {origin && <Fact name={t("origin")}><a href={href(["job", origin])}><code>{origin.slice(-12)}</code></a></Fact>}
        {trace && <Fact name={t("trace")}><code>{trace}</code><Copy text={trace} label={t("trace")} /></Fact>}
        {headers.length > 0 && <Fact name={t("headers")}><span class="job-headers">{headers.map(([name, value]) => <code key={name}>{name}: {value}</code>)}</span></Fact>}
      </dl>
    </Panel>
  );
}

function Fact({ name, children }: { name: string; children: ComponentChildren }) {
  return <div><dt>{name}</dt><dd>{children}</dd></div>;
}

function policy(retry: Retry | null): string {
  if (retry?.kind === "none") return t("retry.none");
  if (retry?.kind === "fixed") return t("retry.fixed", { delay: duration(retry.delay) });
  if (retry?.kind === "list") return t("retry.list", { delays: retry.delays.map(duration).join(", ") });
  return t("retry.exponential");
}
