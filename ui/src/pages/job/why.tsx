/** Why a job is where it is, and the way on. */
import type { Explanation, WholeJob } from "../../api/types.ts";
import { language } from "../../i18n/define.ts";
import { absolute } from "../../i18n/format.ts";
import { Copy } from "../../parts/basics.tsx";
import { Icon } from "../../parts/icons.tsx";
import { href } from "../../route.ts";
import { quote } from "./read.ts";
import { t } from "./texts.ts";

type Numbers = Record<string, unknown>;

export function Why({ told, job }: { told: Explanation | undefined; job: WholeJob }) {
  // Its place is kept until it is known.
  if (!told) return <div class="job-why" aria-hidden="true"><div><p class="job-why-head">&nbsp;</p><p>&nbsp;</p></div></div>;
  const [first, ...others] = told.causes;
  if (!first) return null;
  const level = job.state === "failed" ? "bad" : job.state === "done" ? "good" : ["no_worker", "unknown_type", "queue_paused", "expires_first", "programs_off", "programs_refused", "lease_overdue"].includes(first.cause) ? "warn" : "";
  const when = told.at && t(told.certainty === "known" ? "at" : told.certainty === "not_before" ? "not.before" : "about", { when: absolute(told.at) });
  return (
    <section class={`job-why ${level}`} aria-label={t("why")}>
      <Icon name={level === "good" ? "check" : level === "" ? "info" : "alert"} />
      <div>
        <p class="job-why-head">{headline(first)}{when && <span class="note"> {when}</span>}</p>
        <p>{language.value === "en" ? first.sentence : detail(first.numbers)}</p>
        <Way cause={first.cause} numbers={first.numbers} job={job} />
        {others.length > 0 && <ul>{others.map((one) => <li key={one.cause}>{language.value === "en" ? one.sentence : headline(one)}</li>)}</ul>}
      </div>
    </section>
  );
}

const CAUSES = ["scheduled", "backoff", "snoozed", "due", "queue_paused", "server_draining", "programs_off", "programs_refused", "programs_opening", "no_worker", "unknown_type", "workers_draining", "slots_full", "jobs_ahead", "starting", "running", "cancel_requested", "timeout_overdue", "worker_away", "lease_overdue", "done", "attempts_used_up", "not_retryable", "timed_out", "worker_lost", "cancelled", "expired", "failed", "unique_held", "holds_unique_key", "expires", "expiring", "expires_first", "clock_jumped"] as const;

/** In the reader's language; a cause of a newer server in the server's words. */
function headline({ cause, sentence }: { cause: string; sentence: string }): string {
  const known = CAUSES.find((one) => one === cause);
  return known ? t(`cause.${known}`) : sentence;
}

/** What the server's English sentence says in numbers, in other languages. */
function detail(numbers: Numbers): string {
  const { ahead, slots, attempt, max_attempts: most } = numbers;
  if (typeof ahead === "number" && typeof slots === "number") return `${t("ahead", { n: ahead })} · ${t("slots", { n: slots })}`;
  if (typeof attempt === "number" && typeof most === "number") return t("tries", { n: attempt, most });
  return "";
}

/** What can be done about it, where that is elsewhere. */
function Way({ cause, numbers, job }: { cause: string; numbers: Numbers; job: WholeJob }) {
  if (cause === "no_worker" || cause === "unknown_type") {
    const command = `rota work app:app --queues ${/^[\w.-]+$/.test(job.queue) ? job.queue : quote(job.queue)}`;
    return <p class="job-way">{t(`way.${cause}`)} <code>{command}</code><Copy text={command} label={command} /></p>;
  }
  if (cause === "queue_paused") return <p class="job-way"><a href={href(["queues"], { q: job.queue })}>{t("way.queue_paused")}</a></p>;
  const holder = numbers["holder"];
  if (typeof holder === "string") return <p class="job-way"><a href={href(["job", holder])}>{t("way.unique_held")}</a></p>;
  return null;
}
