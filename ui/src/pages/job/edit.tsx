/** The same job again, with what should be other. */
import { useState } from "preact/hooks";
import { Problem, send } from "../../api/http.ts";
import type { WholeJob } from "../../api/types.ts";
import { fault, JsonEditor } from "../../json/JsonEditor.tsx";
import { print, type Node } from "../../json/parse.ts";
import { Button, Fault } from "../../parts/basics.tsx";
import { Dialog } from "../../parts/dialog.tsx";
import { told } from "../../parts/toasts.tsx";
import { go, href } from "../../route.ts";
import { t } from "./texts.ts";

interface EditProps {
  job: WholeJob;
  payload: Node | null;
  onClose: () => void;
}

/** A header that says which job this one was made from. */
export const ORIGIN = "edited-from";

export function Edit({ job, payload, onClose }: EditProps) {
  const binary = job.payload_base64 !== undefined;
  const [text, setText] = useState(() => (payload ? print(payload, 2) : ""));
  const [fields, setFields] = useState({ type: job.type, queue: job.queue, priority: String(job.priority), tags: job.tags.filter((tag) => !tag.startsWith("front:")).join(", "), delay: "", max: String(job.max_attempts) });
  const [problem, setProblem] = useState<Problem | null>(null);
  const [busy, setBusy] = useState(false);
  const upload = uploaded(job);
  const set = (name: keyof typeof fields) => (event: { currentTarget: HTMLInputElement }) => setFields({ ...fields, [name]: event.currentTarget.value });

  const run = async (event: Event) => {
    event.preventDefault();
    setBusy(true);
    setProblem(null);
    try {
      const made = await (upload ? again(job, members(job, fields, withoutUpload(text))) : store(job, fields, binary ? null : text));
      told("done", t("submitted"));
      onClose();
      go(href(["job", made.id]));
    } catch (error) {
      if (!(error instanceof Problem)) throw error;
      setProblem(error);
    } finally {
      setBusy(false);
    }
  };
  const field = (name: keyof typeof fields, label: string, numeric = false) => (
    <label class="field">
      <span>{label}</span>
      <input class="input" name={name} value={fields[name]} autocomplete="off" inputMode={numeric ? "decimal" : undefined} aria-invalid={problem?.field === FIELDS[name]} onInput={set(name)} />
    </label>
  );
  return (
    <Dialog title={t("edit.title")} class="job-edit" onClose={onClose} acts={<><span class="note">{t("edit.note")}</span><Button kind="primary" icon="play" type="submit" form="job-edit" busy={busy} disabled={!binary && !!fault(text)}>{t("submit")}</Button></>}>
      <form class="form" id="job-edit" onSubmit={run}>
        {problem && <Fault error={problem} />}
        {binary ? <p class="note">{t("bytes")}</p> : <JsonEditor value={text} label={t("payload")} onChange={setText} rows={8} autofocus />}
        {upload && <p class="note">{t("edit.upload")}</p>}
        <div class="job-edit-fields">
          {field("type", t("type"))}
          {field("queue", t("queue"))}
          {field("priority", t("priority"), true)}
          {field("delay", t("delay"), true)}
          {field("max", t("max"), true)}
          {field("tags", t("tags"))}
        </div>
      </form>
    </Dialog>
  );
}

const FIELDS = { type: "type", queue: "queue", priority: "priority", tags: "tags", delay: "delay", max: "max_attempts" };

function members(job: WholeJob, fields: Record<keyof typeof FIELDS, string>, payload: string | null): string {
  const number = (text: string) => (text.trim() && Number.isFinite(Number(text)) ? text.trim() : JSON.stringify(text));
  const found: [string, string][] = [
    ["type", JSON.stringify(fields.type.trim())],
    ["queue", JSON.stringify(fields.queue.trim())],
    ["priority", number(fields.priority)],
    ["max_attempts", number(fields.max)],
    ["tags", JSON.stringify(fields.tags.split(",").map((one) => one.trim()).filter(Boolean))],
    ["headers", JSON.stringify({ ...job.headers, [ORIGIN]: job.id })],
  ];
  if (fields.delay.trim()) found.push(["delay", number(fields.delay)]);
  if (job.timeout !== null) found.push(["timeout", String(job.timeout)]);
  if (job.retry !== null) found.push(["retry", JSON.stringify(job.retry)]);
  if (job.retention !== null) found.push(["retention", String(job.retention)]);
  if (payload !== null && payload.trim()) found.push(["payload", payload]);
  return `{${found.map(([name, value]) => `${JSON.stringify(name)}: ${value}`).join(", ")}}`;
}

async function store(job: WholeJob, fields: Record<keyof typeof FIELDS, string>, payload: string | null): Promise<{ id: string }> {
  let body = members(job, fields, payload);
  if (payload === null) body = `${body.slice(0, -1)}, "payload_base64": ${JSON.stringify(job.payload_base64)}, "content_type": ${JSON.stringify(job.content_type)}}`;
  return (await send("POST", "v1/jobs", { body })).json();
}

/** With the archive that came with it. */
async function again(job: WholeJob, about: string): Promise<{ id: string }> {
  const archive = await (await send("GET", `v1/jobs/${job.id}/upload`)).blob();
  const ascii = about.replace(/[\u0080-\uffff]/g, (sign) => `\\u${sign.charCodeAt(0).toString(16).padStart(4, "0")}`).replace(/[\r\n]+/g, " ");
  return (await send("POST", "v1/jobs", { body: archive, headers: { "content-type": "application/zip", "rota-job": ascii } })).json();
}

export function uploaded(job: WholeJob): boolean {
  const payload = job.payload;
  return typeof payload === "object" && payload !== null && "upload" in payload && typeof payload.upload === "object";
}

/** The server says anew what came with the job. */
function withoutUpload(text: string): string {
  const { upload: _, ...rest } = JSON.parse(text) as Record<string, unknown>;
  return JSON.stringify(rest);
}
