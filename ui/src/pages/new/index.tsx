/** A form for a job of any type. */
import { useEffect, useMemo, useRef, useState } from "preact/hooks";
import { get, Problem, send, upload } from "../../api/http.ts";
import { useQuery } from "../../api/query.ts";
import type { Job, State as JobState } from "../../api/types.ts";
import { watch } from "../../live/socket.ts";
import { Bar, Button, Choice, Copy, Fault, Head, Panel, State } from "../../parts/basics.tsx";
import { told } from "../../parts/toasts.tsx";
import { href, place } from "../../route.ts";
import { JsonEditor } from "../../json/JsonEditor.tsx";
import { Options } from "./options.tsx";
import { Drop, fits, Form, unread } from "./payload.tsx";
import { body, EMPTY, many, members, quote, Unreadable, written, type Draft } from "./request.ts";
import { fields, type JobType } from "./schema.ts";
import { t } from "./texts.ts";
import "./style.css";

type Mode = "form" | "json" | "file";

interface Stored {
  id: string;
  type: string;
  state: JobState;
  created: boolean;
}

const DRAFT = "rota.draft";

export default function NewPage() {
  const types = useQuery<{ types: JobType[] }>("v1/types");
  const limits = useQuery<{ settings: { key: string; value: unknown }[] }>("v1/settings");
  const [draft, setDraft] = useState<Draft>(recall);
  const [mode, setMode] = useState<Mode | null>(null);
  const [file, setFile] = useState<File | null>(null);
  const [open, setOpen] = useState<Record<string, string>>({});
  const [faults, setFaults] = useState<Record<string, string>>({});
  const [problem, setProblem] = useState<Problem | null>(null);
  const [sent, setSent] = useState<number | null>(null);
  const [stored, setStored] = useState<Stored[]>([]);

  const known = types.data?.types.find((one) => one.type === draft.type.trim());
  const form = useMemo(() => fields(known?.schema ?? null, known?.example), [known]);
  const shown: Mode = mode === "form" && !form ? "json" : (mode ?? (form && fits(form, draft.payload) ? "form" : "json"));
  const zip = !!known?.accepts.includes("zip");
  const most = Number(limits.data?.settings.find((one) => one.key === (zip ? "upload_limit" : "body_limit"))?.value ?? NaN);

  useEffect(() => keep(draft), [draft]);
  const writing = useRef(draft);
  writing.current = draft;
  const change = (changes: Partial<Draft>) => {
    setDraft((before) => ({ ...before, ...changes }));
    setFaults({});
    setProblem(null);
  };

  const submit = async (event: Event) => {
    event.preventDefault();
    const wrong: Record<string, string> = {};
    if (!draft.type.trim()) wrong["type"] = t("need.type");
    if (shown === "form") for (const one of form ?? []) if (one.required && !fitsOne(draft.payload, one.name)) wrong[`payload.${one.name}`] = t("missing");
    if (shown === "form") for (const one of form ?? []) if (unread(one, open[one.name] ?? "")) wrong[`payload.${one.name}`] = t("bad.number");
    setFaults(wrong);
    if (Object.keys(wrong).length) return focus(Object.keys(wrong)[0] as string);
    setSent(0);
    try {
      const answer = shown === "file" && file ? await sendFile(draft, file, zip, setSent) : await sendJson(draft);
      const jobs = "jobs" in answer ? answer.jobs : [answer];
      setStored((before) => [...jobs.slice(0, 20).reverse(), ...before].slice(0, 20));
      told("done", jobs[0]?.created === false ? t("there") : t("created", { n: jobs.length }));
    } catch (error) {
      if (error instanceof Unreadable) setFaults({ [error.field]: t("bad.number") });
      else if (error instanceof Problem) {
        const field = error.field?.replace(/^jobs\[\d+\]\.?/, "").replace(/^filter\./, "") ?? "";
        if (place_of(field)) setFaults({ [field]: error.message });
        else setProblem(error);
        // Who writes on while the answer is under way is not torn away from it.
        if (field && writing.current === draft) focus(field);
      } else throw error;
    } finally {
      setSent(null);
    }
  };

  const place_of = (field: string) => ["type", "queue", "payload", "count"].includes(field) || field.startsWith("payload.") || field in EMPTY.options;
  const line = useMemo(() => command(draft, shown, file, zip), [draft, shown, file, zip]);
  const modes: [Mode, string][] = [...(form ? [["form", t("form")] as [Mode, string]] : []), ["json", t("json")], ["file", t("file")]];
  const n = Number(draft.count) || 1;

  return (
    <>
      <Head title={t("title")} note={t("note")}>
        <Button icon="close" kind="quiet" onClick={() => { setDraft(EMPTY); setOpen({}); setFile(null); setMode(null); setFaults({}); setProblem(null); }}>{t("clear")}</Button>
      </Head>
      <div class="new-columns">
        <form class="stack" onSubmit={submit} noValidate>
          <Panel>
            <div class="new-fields">
              <label class="field">
                <span>{t("type")}</span>
                <input class="input" name="type" list="new-types" value={draft.type} placeholder={t("type.hint")} autocomplete="off" spellcheck={false} aria-invalid={!!faults["type"]} autofocus onInput={(event) => { change({ type: event.currentTarget.value }); setMode(null); setOpen({}); }} />
                <datalist id="new-types">{types.data?.types.map((one) => <option key={one.type} value={one.type}>{one.description ?? ""}</option>)}</datalist>
                <small>{faults["type"] ? <span class="wrong">{faults["type"]}</span> : known?.description}</small>
              </label>
              <label class="field">
                <span>{t("queue")}</span>
                <input class="input" name="queue" list="new-queues" value={draft.queue} autocomplete="off" spellcheck={false} aria-invalid={!!faults["queue"]} onInput={(event) => change({ queue: event.currentTarget.value })} />
                <datalist id="new-queues">{[...new Set(types.data?.types.flatMap((one) => one.queues))].sort().map((one) => <option key={one} value={one} />)}</datalist>
                <small>{faults["queue"] && <span class="wrong">{faults["queue"]}</span>}</small>
              </label>
            </div>
            {draft.type.trim() && types.data && <Served known={known} queue={draft.queue.trim() || "default"} onChoose={(queue) => change({ queue })} />}
            {!types.data && types.error && <Fault error={types.error} retry={types.refresh} />}
          </Panel>
          <Panel title={t("payload")} aside={<Choice label={t("payload")} value={shown} onChange={setMode} options={modes} />}>
            {shown === "form" && form && (fits(form, draft.payload) ? (
              <Form fields={form} value={draft.payload} open={open} onOpen={setOpen} faults={strip(faults)} onChange={(payload) => change({ payload })} />
            ) : (
              <p class="note">{t("unfit")}</p>
            ))}
            {shown === "json" && <JsonEditor value={draft.payload} label={t("payload")} onChange={(payload) => change({ payload })} />}
            {shown === "file" && <Drop file={file} most={Number.isFinite(most) ? most : null} note={t(zip ? "drop.zip" : "drop.bytes")} onChange={setFile} />}
            {faults["payload"] && <p class="wrong" role="alert">{faults["payload"]}</p>}
          </Panel>
          <Panel>
            <Options values={draft.options} faults={faults} onChange={(name, value) => change({ options: { ...draft.options, [name]: value } })} />
          </Panel>
          {problem && <Fault error={problem} />}
          <div class="new-send">
            <label class="field new-count"><span>{t("count")}</span><input class="input" name="count" inputMode="numeric" value={draft.count} aria-invalid={!!faults["count"]} onInput={(event) => change({ count: event.currentTarget.value })} /></label>
            <Button kind="primary" type="submit" icon="play" busy={sent !== null}>{t("submit", { n })}</Button>
            {sent !== null && file && <span class="new-sent"><Bar value={sent} label={t("sending", { n: Math.round(sent * 100) })} /></span>}
          </div>
        </form>
        <aside class="stack">
          {stored.length > 0 && <Panel title={t("results")}><Results jobs={stored} /></Panel>}
          <Panel title={t("command")} aside={<Copy text={line} label={t("command")} />}><pre class="new-command">{line}</pre></Panel>
        </aside>
      </div>
    </>
  );
}

function Served({ known, queue, onChoose }: { known: JobType | undefined; queue: string; onChoose: (queue: string) => void }) {
  if (!known?.workers) return <p class="new-served warn">{t("known.none")}</p>;
  const elsewhere = known.queues.length > 0 && !known.queues.includes(queue) && !known.queues.includes("*");
  return (
    <p class={`new-served ${elsewhere ? "warn" : ""}`}>
      {known.built_in && <span class="tag">{t("builtin")}</span>} {t("known", { n: known.workers })} 
      {elsewhere && <>{" "}{t("queue.none")} {known.queues.slice(0, 12).map((one) => <Button key={one} small onClick={() => onChoose(one)}>{one}</Button>)}</>}
    </p>
  );
}

/** What was submitted, live. */
function Results({ jobs }: { jobs: Stored[] }) {
  const [states, setStates] = useState<Record<string, JobState>>({});
  const ids = jobs.map((one) => one.id).join();
  useEffect(() => {
    const stop = watch(ids.split(",").map((id) => `job:${id}`), (events) => {
      setStates((before) => events.reduce((all, one) => (one.id ? { ...all, [one.id]: one.event === "started" ? "running" : (one.state ?? all[one.id] ?? "pending") } : all), before));
    });
    // Short ones are over before anybody listens.
    for (const id of ids.split(",")) void get<Job>(`v1/jobs/${id}`).then((job) => setStates((before) => ({ ...before, [id]: job.state })), () => undefined);
    return stop;
  }, [ids]);
  return (
    <ul class="new-results">
      {jobs.map((one) => (
        <li key={one.id}>
          <State state={states[one.id] ?? one.state ?? "pending"} />
          <span class="clip">{one.type}</span>
          <a href={href(["job", one.id])}><code>{one.id.slice(-8)}</code></a>
        </li>
      ))}
    </ul>
  );
}

type Answer = Stored | { jobs: Stored[] };

async function sendJson(draft: Draft): Promise<Answer> {
  const payload: [string, string][] = draft.payload.trim() ? [["payload", draft.payload.trim()]] : [];
  return (await (await send("POST", "v1/jobs", { body: body(draft, payload) })).json()) as Answer;
}

async function sendFile(draft: Draft, file: File, zip: boolean, progress: (done: number) => void): Promise<Answer> {
  many(draft);
  if (zip) {
    // Headers are ASCII: what is not is written as JSON can write it.
    const about = written(members(draft)).replace(/[\u0080-\uffff]/g, (sign) => `\\u${sign.charCodeAt(0).toString(16).padStart(4, "0")}`);
    return upload("v1/jobs", file, { "content-type": "application/zip", "rota-job": about }, progress);
  }
  const text = await base64(file);
  const payload: [string, string][] = [["payload_base64", JSON.stringify(text)], ["content_type", JSON.stringify(file.type || "application/octet-stream")]];
  return upload("v1/jobs", new Blob([body(draft, payload)]), { "content-type": "application/json" }, progress);
}

function base64(file: File): Promise<string> {
  return new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.onerror = () => reject(new Problem("unreadable", String(reader.error)));
    reader.onload = () => resolve(String(reader.result).replace(/^[^,]*,/, ""));
    reader.readAsDataURL(file);
  });
}

function command(draft: Draft, mode: Mode, file: File | null, zip: boolean): string {
  const address = quote(new URL("v1/jobs", document.baseURI).href);
  try {
    if (mode === "file" && zip) return `curl --data-binary @${file?.name ?? "FILE.zip"} -H 'Content-Type: application/zip' \\\n  -H ${quote(`Rota-Job: ${written(members(draft))}`)} ${address}`;
    const payload: [string, string][] = mode === "file" ? [["payload_base64", '"…"'], ["content_type", JSON.stringify(file?.type || "application/octet-stream")]] : draft.payload.trim() ? [["payload", draft.payload.trim()]] : [];
    const n = many(draft);
    const line = `curl --json ${quote(written([...members(draft), ...payload]))} ${address}`;
    return n === 1 ? line : `for i in $(seq ${n}); do\n  ${line}\ndone`;
  } catch {
    return "…";
  }
}

function strip(faults: Record<string, string>): Record<string, string> {
  return Object.fromEntries(Object.entries(faults).map(([name, text]) => [name.replace(/^payload\./, ""), text]));
}

function fitsOne(payload: string, name: string): boolean {
  try {
    return (JSON.parse(payload || "{}") as Record<string, unknown>)[name] !== undefined;
  } catch {
    return false;
  }
}

function focus(field: string): void {
  requestAnimationFrame(() => document.querySelector<HTMLElement>(`[name="${CSS.escape(field)}"]`)?.focus());
}

/** What the address asks for, else what was being written in this tab. */
function recall(): Draft {
  const { query } = place.peek();
  if (["type", "queue", "payload"].some((name) => query.has(name))) {
    return { ...EMPTY, type: query.get("type") ?? "", queue: query.get("queue") ?? "default", payload: query.get("payload") ?? "" };
  }
  try {
    const kept = JSON.parse(sessionStorage.getItem(DRAFT) ?? "null") as Draft | null;
    if (kept && typeof kept.type === "string") return { ...EMPTY, ...kept, options: { ...EMPTY.options, ...kept.options } };
  } catch {
    // Nothing that we wrote.
  }
  return EMPTY;
}

function keep(draft: Draft): void {
  try {
    sessionStorage.setItem(DRAFT, JSON.stringify(draft));
  } catch {
    // It is there as long as the page is open.
  }
}
