/** What a job failed of. */
import { useMemo } from "preact/hooks";
import { useQuery } from "../../api/query.ts";
import { withQuery } from "../../api/http.ts";
import type { Failure, FailureGroup, WholeJob } from "../../api/types.ts";
import { JsonView } from "../../json/JsonView.tsx";
import type { Node } from "../../json/parse.ts";
import { Copy, Panel } from "../../parts/basics.tsx";
import { href } from "../../route.ts";
import { t } from "./texts.ts";

export function Wrong({ error, details, job }: { error: Failure; details: Node | null; job: WholeJob }) {
  const frames = useMemo(() => (error.traceback ?? "").split("\n"), [error.traceback]);
  const others = useAlike(job);
  return (
    <Panel
      class="job-wrong"
      title={<>{t("error")}: <code>{error.type}</code></>}
      aside={job.fingerprint && others !== 0 && <a href={href(["jobs"], { fingerprint: job.fingerprint })}>{others === null ? t("alike") : t("alike.n", { n: others })}</a>}
    >
      <p class="job-message">{error.message}</p>
      {error.traceback && (
        <details open>
          <summary>{t("traceback")}</summary>
          <div class="job-trace">
            <Copy text={error.traceback} label={t("traceback")} />
            <pre tabIndex={0}>{frames.map((line, at) => <span key={at} class={ours(line, frames[at - 1]) ? "ours" : undefined}>{`${line}\n`}</span>)}</pre>
          </div>
        </details>
      )}
      {details && <details><summary>{t("details")}</summary><JsonView value={details} label={t("details")} /></details>}
    </Panel>
  );
}

/** A line of the user's own code: not of Python's library, of packages or of Rota. */
function ours(line: string, before: string | undefined): boolean {
  const place = /^\s*File "([^"]+)"/;
  const found = place.exec(line) ?? (before === undefined ? null : place.exec(before));
  return !!found && !/site-packages|[/\\]lib[/\\]python|[/\\]rota[/\\](sdk|handlers)|<frozen/.test(found[1] ?? "");
}

/** How many others failed of the same; null when that is not known. */
function useAlike(job: WholeJob): number | null {
  const { data } = useQuery<{ failures: FailureGroup[] }>(job.fingerprint ? withQuery("v1/failures", { type: job.type, limit: 100 }) : null);
  const group = data?.failures.find((one) => one.fingerprint === job.fingerprint);
  return group ? Math.max(0, group.jobs - 1) : null;
}
