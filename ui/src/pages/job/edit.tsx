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
import { binary, body, carried, edited, fields as begin, type Fields, header, type Members, uploaded } from "./request.ts";
import { t } from "./texts.ts";

interface EditProps {
  job: WholeJob;
  payload: Node | null;
  onClose: () => void;
}

export function Edit({ job, payload, onClose }: EditProps) {
  const bytes = job.payload_base64 !== undefined;
  const [text, setText] = useState(() => (payload ? print(payload, 2) : ""));
  const [fields, setFields] = useState(() => begin(job));
  const [problem, setProblem] = useState<Problem | null>(null);
  const [busy, setBusy] = useState(false);
  const upload = uploaded(payload);
  const set = (name: keyof Fields) => (event: { currentTarget: HTMLInputElement }) => setFields({ ...fields, [name]: event.currentTarget.value });

  const run = async (event: Event) => {
    event.preventDefault();
    setBusy(true);
    setProblem(null);
    try {
      const members = [...edited(job, fields), ...(bytes ? binary(job) : carried(text, upload))];
      const made = await (upload ? storeWithUpload(job.id, members) : store(members));
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
  const field = (name: keyof Fields, label: string, numeric = false) => (
    <label class="field">
      <span>{label}</span>
      <input class="input" name={name} value={fields[name]} autocomplete="off" inputMode={numeric ? "decimal" : undefined} aria-invalid={problem?.field === FIELDS[name]} onInput={set(name)} />
    </label>
  );
  return (
    <Dialog title={t("edit.title")} class="job-edit" onClose={onClose} acts={<><span class="note">{t("edit.note")}</span><Button kind="primary" icon="play" type="submit" form="job-edit" busy={busy} disabled={!bytes && !!fault(text)}>{t("submit")}</Button></>}>
      <form class="form" id="job-edit" onSubmit={run}>
        {problem && <Fault error={problem} />}
        {bytes ? <p class="note">{t("bytes")}</p> : <JsonEditor value={text} label={t("payload")} onChange={setText} rows={8} autofocus />}
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

async function store(members: Members): Promise<Made> {
  return (await send("POST", "v1/jobs", { body: body(members) })).json();
}

/** With the archive that came with it. */
async function storeWithUpload(id: string, members: Members): Promise<Made> {
  const archive = await (await send("GET", `v1/jobs/${id}/upload`)).blob();
  return (await send("POST", "v1/jobs", { body: archive, headers: { "content-type": "application/zip", "rota-job": header(members) } })).json();
}

interface Made {
  id: string;
}
