/** What failed last, and where most waits. */
import { useQuery } from "../../api/query.ts";
import type { FailureGroup, Pulse } from "../../api/types.ts";
import { compact, duration, number } from "../../i18n/format.ts";
import { pulse } from "../../live/socket.ts";
import { Empty, Fault, Panel, Waiting, When } from "../../parts/basics.tsx";
import { Spark } from "../../parts/chart.tsx";
import { Icon } from "../../parts/icons.tsx";
import { href } from "../../route.ts";
import { t } from "./texts.ts";

const SHOWN = 6;

export function Failures() {
  const { data, error, refresh } = useQuery<{ failures: FailureGroup[] }>("v1/failures?limit=5", { on: () => pulse.value, gap: 5000 });
  return (
    <Panel class="flush" title={t("failures")} aside={<a href={href(["failures"])}>{t("failures.all")}</a>}>
      {error && <Fault error={error} retry={refresh} />}
      {!data && !error && <div class="overview-inset"><Waiting rows={5} /></div>}
      {data && !data.failures.length && <Empty icon="check" title={t("failures.none")} />}
      <ul class="overview-list">
        {data?.failures.map((group) => (
          <li key={group.fingerprint}>
            <a class="overview-failure" href={href(["jobs"], { state: "failed", fingerprint: group.fingerprint })}>
              <span class="overview-what"><b>{group.type}</b> <code>{group.error}</code></span>
              <span class="overview-why">{group.message}</span>
              <span class="overview-when"><When at={group.last_seen} /></span>
              <span class="overview-spark"><Spark values={group.hours} colour="--failed" label={t("hours")} /></span>
              <span class="figure overview-count" title={number(group.jobs)}>{t("failures.jobs", { n: group.jobs })}</span>
            </a>
          </li>
        ))}
      </ul>
    </Panel>
  );
}

export function Queues() {
  const told = pulse.value;
  const full = told?.queues.filter((queue) => weight(queue) > 0);
  const shown = full?.slice(0, SHOWN);
  const most = Math.max(1, ...(shown ?? []).map(weight));
  const rest = full && told ? full.length - SHOWN + told.queues_more : 0;
  return (
    <Panel class="flush" title={t("queues")} aside={<a href={href(["queues"])}>{t("queues.all")}</a>}>
      {!shown && <div class="overview-inset"><Waiting rows={5} /></div>}
      {shown && !shown.length && <Empty icon="queues" title={t("queues.none")} />}
      <ul class="overview-list">
        {shown?.map((queue) => (
          <li key={queue.name}>
            <a class="overview-line" href={href(["jobs"], { queue: queue.name, state: "pending,running,scheduled" })}>
              <span class="overview-queue-name" title={queue.name}><b>{queue.name}</b>{queue.paused && <span class="tag"><Icon name="pause" size={12} /> {t("paused")}</span>}</span>
              <span class="note overview-age">{queue.oldest_age === null ? "" : t("waits", { age: duration(queue.oldest_age) })}</span>
              <span class="figure">{compact(weight(queue))}</span>
              <Stack of={queue} most={most} />
            </a>
          </li>
        ))}
      </ul>
      {rest > 0 && <p class="overview-rest note">{t("queues.more", { n: rest })}</p>}
    </Panel>
  );
}

function Stack({ of, most }: { of: Pulse["queues"][number]; most: number }) {
  const label = t("queues.bar", { pending: of.pending, running: of.running, scheduled: of.scheduled });
  return (
    <span class="overview-stack" role="img" aria-label={label} title={label}>
      {(["running", "pending", "scheduled"] as const).map((state) => <i key={state} class={state} style={{ width: `${(100 * of[state]) / most}%` }} />)}
    </span>
  );
}

const weight = ({ pending, running, scheduled }: Pulse["queues"][number]): number => pending + running + scheduled;
