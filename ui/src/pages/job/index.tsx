/** One job: what it is, why it is where it is, what happened, and what can be done about it. */
import { useEffect, useState } from "preact/hooks";
import { download, post, remove } from "../../api/http.ts";
import { useQuery } from "../../api/query.ts";
import { ENDED, type Explanation } from "../../api/types.ts";
import { useCommands } from "../../commands.ts";
import { language } from "../../i18n/define.ts";
import { number } from "../../i18n/format.ts";
import { sought, type Node } from "../../json/parse.ts";
import { watch } from "../../live/socket.ts";
import { act, Bar, Button, copy, Copy, Empty, Fault, Panel, State, Waiting } from "../../parts/basics.tsx";
import { sure } from "../../parts/dialog.tsx";
import { go, href, place } from "../../route.ts";
import { Again } from "./again.tsx";
import { Edit } from "./edit.tsx";
import { Facts } from "./facts.tsx";
import { Logs } from "./logs.tsx";
import { read, type Shown } from "./read.ts";
import { uploaded } from "./request.ts";
import { t } from "./texts.ts";
import { Timeline } from "./timeline.tsx";
import { Value } from "./value.tsx";
import { Why } from "./why.tsx";
import { Wrong } from "./wrong.tsx";
import "./style.css";

export default function JobPage() {
  const id = place.value.rest[0] ?? "";
  return <Whole key={id} id={id} />;
}

function Whole({ id }: { id: string }) {
  const address = `v1/jobs/${encodeURIComponent(id)}`;
  const { data, error, refresh } = useQuery<Shown>(address, { parse: read });
  const waits = data && !ENDED.includes(data.job.state);
  // What it waits for changes with other jobs and with workers, of which its own topic tells nothing.
  const explained = useQuery<Explanation>(data ? `${address}/explain` : null, { every: waits ? 3000 : 30_000 });
  const [progress, setProgress] = useState<{ value: number | null; message: string | null } | null>(null);
  const state = data?.job.state;

  useEffect(
    () =>
      watch([`job:${id}`], (events) => {
        const told = events.filter((one) => one.event === "progress").at(-1);
        if (told) setProgress({ value: told.value ?? null, message: told.message ?? null });
        if (events.some((one) => one.event !== "progress" && one.event !== "log")) void refresh();
      }),
    [id, refresh],
  );
  useEffect(() => void explained.refresh(), [state, data?.job.lease, data?.job.run_at, data?.job.cancel_requested]);
  // The next try begins anew.
  useEffect(() => setProgress(null), [data?.job.lease]);

  if (error?.status === 404 || error?.code === "invalid_id") return <Gone />;
  if (!data) return <>{<h1 class="job-title">{t("title")}</h1>}{error ? <Fault error={error} retry={refresh} /> : <Waiting rows={8} />}</>;
  const { job } = data;
  const shown = progress ?? job.progress;
  const find = (path: string, value: Node) => href(["jobs"], { payload: `${path}:${sought(value)}` });
  return (
    <>
      {error && <Fault error={error} retry={refresh} />}
      <Top shown={data} refresh={refresh} />
      {job.state === "running" && <Running value={shown?.value ?? null} message={shown?.message ?? null} />}
      <div class="job-columns">
        <div class="stack">
          {!explained.error && <Why told={explained.data} job={job} />}
          {job.error && <Wrong error={job.error} details={data.details} job={job} />}
          <Panel title={t("payload")} aside={uploaded(data.payload) && <Button small icon="download" onClick={() => act(() => download(`${address}/upload`))}>{t("upload")}</Button>}>
            <Value label={t("payload")} json={data.payload} base64={job.payload_base64} type={job.content_type} name={`${job.id}-payload`} find={find} />
          </Panel>
          <Result shown={data} />
          <Logs id={job.id} ended={ENDED.includes(job.state)} />
        </div>
        <div class="stack">
          <Timeline job={job} />
          <Facts job={job} />
          <Again shown={data} />
        </div>
      </div>
    </>
  );
}

function Top({ shown, refresh }: { shown: Shown; refresh: () => Promise<void> }) {
  const { job } = shown;
  const [editing, setEditing] = useState(false);
  const [busy, setBusy] = useState(false);
  const address = `v1/jobs/${job.id}`;
  const ended = ENDED.includes(job.state);
  const does = async (doing: () => Promise<unknown>, done: string) => {
    setBusy(true);
    await act(doing, done);
    await refresh();
    setBusy(false);
  };
  const retry = () => does(() => post(`${address}/retry`), t("retried"));
  const now = () => does(() => post(`${address}/run-now`), t("promoted"));
  const cancel = async () => {
    const runs = job.state === "running";
    if (await sure({ title: t("sure.cancel"), text: t(runs ? "sure.stop.text" : "sure.cancel.text"), act: t(runs ? "stop" : "cancel"), danger: true })) await does(() => post(`${address}/cancel`), t(runs ? "asked" : "cancelled"));
  };
  const drop = async () => {
    if (!(await sure({ title: t("sure.delete"), text: t("sure.delete.text"), act: t("delete"), danger: true }))) return;
    if (await act(() => remove(address), t("deleted"))) go(href(["jobs"]));
  };
  const edit = () => setEditing(true);
  useCommands(
    () => [
      ...(ended ? [{ id: "job.retry", label: t("retry"), key: "r", icon: "retry" as const, group: t("keys"), act: () => void retry() }] : []),
      ...(ended ? [] : [{ id: "job.cancel", label: t("cancel"), key: "x", icon: "stop" as const, group: t("keys"), act: () => void cancel() }]),
      ...(job.state === "scheduled" ? [{ id: "job.now", label: t("now"), key: "n", icon: "play" as const, group: t("keys"), act: () => void now() }] : []),
      ...(job.state === "running" ? [] : [{ id: "job.delete", label: t("delete"), key: "d", icon: "trash" as const, group: t("keys"), act: () => void drop() }]),
      { id: "job.edit", label: t("edit"), key: "e", icon: "edit" as const, group: t("keys"), act: edit },
      { id: "job.copy", label: t("copyid"), key: "y", icon: "copy" as const, group: t("keys"), act: () => void copy(job.id) },
      { id: "job.back", label: t("back"), key: "u", icon: "left" as const, group: t("keys"), act: () => history.back() },
    ],
    [job.state, job.id, language.value],
  );
  return (
    <header class="page-head">
      <div class="job-head">
        <p class="job-path"><a href={href(["jobs"])}>{t("list")}</a> / <a href={href(["jobs"], { queue: job.queue })}>{job.queue}</a></p>
        <h1 class="job-title">{job.type} <State state={job.state} /></h1>
        <p class="note"><code>{job.id}</code><Copy text={job.id} label={t("id")} /></p>
      </div>
      <div class="acts">
        {job.state === "scheduled" && <Button icon="play" busy={busy} onClick={now}>{t("now")}</Button>}
        {ended && <Button icon="retry" busy={busy} onClick={retry}>{t("retry")}</Button>}
        <Button icon="edit" kind={job.state === "failed" ? "primary" : "plain"} onClick={edit}>{t("edit")}</Button>
        {!ended && <Button icon="stop" busy={busy} disabled={job.cancel_requested} onClick={cancel}>{t(job.state === "running" ? "stop" : "cancel")}</Button>}
        {job.state !== "running" && <Button icon="trash" kind="danger" aria-label={t("delete")} title={t("delete")} onClick={drop} />}
      </div>
      {editing && <Edit job={job} payload={shown.payload} onClose={() => setEditing(false)} />}
    </header>
  );
}

function Running({ value, message }: { value: number | null; message: string | null }) {
  return (
    <div class="job-progress">
      <Bar value={value} label={t("progress")} />
      <span class="number">{value === null ? "" : `${number(Math.floor(value * 100))} %`}</span>
      {message && <span class="note">{message}</span>}
    </div>
  );
}

function Result({ shown }: { shown: Shown }) {
  const { job } = shown;
  const none = job.result_base64 === undefined && (shown.result === null || shown.result.kind === "null");
  // What failed has no result, and the error says all.
  if (none && job.state === "failed") return null;
  const left = typeof job.result === "object" && job.result !== null && "artifact" in job.result;
  return (
    <Panel title={t("result")} aside={left && <Button small icon="download" onClick={() => act(() => download(`v1/jobs/${job.id}/artifact`))}>{t("artifact")}</Button>}>
      {none && job.state !== "done" ? <p class="note">{t(ENDED.includes(job.state) ? "result.never" : "result.none")}</p> : <Value label={t("result")} json={shown.result} base64={job.result_base64} type={job.result_type} name={`${job.id}-result`} />}
    </Panel>
  );
}

function Gone() {
  return (
    <>
      <h1 class="job-title">{t("title")}</h1>
      <Empty icon="search" title={t("gone")}><p>{t("gone.text")}</p><a class="button primary" href={href(["jobs"])}>{t("list")}</a></Empty>
    </>
  );
}
