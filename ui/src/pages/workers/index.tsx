/** Who does the work: what each serves, has in hand, and when it was last heard of. */
import { useMemo, useState } from "preact/hooks";
import { post } from "../../api/http.ts";
import { useQuery } from "../../api/query.ts";
import type { Job, Page, Worker } from "../../api/types.ts";
import { milliseconds, now } from "../../i18n/format.ts";
import { pulse } from "../../live/socket.ts";
import { act, Bar, Button, Empty, Fault, Head, Panel, State, Waiting, When } from "../../parts/basics.tsx";
import { Command, work } from "../../parts/command.tsx";
import { sure } from "../../parts/dialog.tsx";
import { Finder } from "../../parts/finder.tsx";
import { Icon } from "../../parts/icons.tsx";
import { href, place } from "../../route.ts";
import { Layers, Programs, type Sandbox, type ProgramsState } from "./sandbox.tsx";
import { t } from "./texts.ts";
import "./style.css";

interface Answer {
  workers: (Worker & { sandbox: Sandbox | null })[];
  /** Seconds between two signs of life. */
  beat: number;
  programs: ProgramsState;
}

const FEW = 60;
/** Beats left out after which it is worth a word. */
const LATE = 3;

export default function WorkersPage() {
  const { data, error, loading, refresh } = useQuery<Answer>("v1/workers", { on: () => pulse.value?.changed.workers && pulse.value, every: 3000 });
  const [most, setMost] = useState(FEW);
  const wanted = (place.value.query.get("q") ?? "").toLowerCase();
  const all = data?.workers ?? [];
  const found = useMemo(
    () => all.filter((one) => !wanted || [one.name, one.worker, one.version, one.server, ...one.queues, ...(one.types ?? [])].some((text) => text?.toLowerCase().includes(wanted))),
    [all, wanted],
  );
  const own = found.filter((one) => one.transport !== "inside");
  const inside = found.filter((one) => one.transport === "inside");
  const none = all.every((one) => one.transport === "inside");
  const sum = (what: (one: Worker) => number) => all.reduce((total, one) => total + what(one), 0);
  return (
    <>
      <Head title={t("title")} note={data && t("note", { n: all.length, running: sum((one) => one.running), slots: sum((one) => one.slots) })}>
        {all.length > 3 && <div class="workers-find"><Finder label={t("find")} group={t("title")} /></div>}
      </Head>
      <div class="stack">
        {error && <Fault error={error} retry={refresh} />}
        {loading && <Waiting rows={6} />}
        {data && none && <Empty icon="workers" title={t(all.length ? "own" : "none")}><p>{t("own.text")}</p><Command line={work()} /></Empty>}
        {data && wanted && !found.length && <Empty icon="search" title={t("nofit")}><a class="button" href={href(["workers"])}>{t("free")}</a></Empty>}
        {own.length > 0 && (
          <Panel class="flush workers">
            <ul>
              {own.slice(0, most).map((one) => <One key={one.worker} of={one} beat={data?.beat ?? Infinity} refresh={refresh} />)}
            </ul>
            {own.length > most && <p class="workers-rest"><Button small onClick={() => setMost(most + FEW)}>{t("rest", { n: own.length - most })}</Button></p>}
          </Panel>
        )}
        {inside.length > 0 && (
          <Panel class="flush workers" title={t("parts")} aside={<span>{t("parts.note")}</span>}>
            <ul>
              {inside.slice(0, most).map((one) => <One key={one.worker} of={one} beat={Infinity} refresh={refresh} />)}
            </ul>
          </Panel>
        )}
        {data && <Programs of={data.programs} />}
      </div>
    </>
  );
}

function One({ of, beat, refresh }: { of: Answer["workers"][number]; beat: number; refresh: () => Promise<void> }) {
  const [open, setOpen] = useState(false);
  // Who has nothing in hand need not beat. Both times are the server's: the reader's clock may be wrong.
  const beats = of.running > 0 && (of.transport === "socket" || of.transport === "poll");
  const late = beats && (milliseconds(pulse.value?.at ?? now.value) - milliseconds(of.last_beat)) / 1000 > LATE * beat;
  const drain = async () => {
    const inside = of.transport === "inside";
    const text = [of.running ? t("drain.text", { n: of.running }) : t("drain.none"), inside && t("drain.inside")].filter(Boolean).join(" ");
    if (!(await sure({ title: t("drain.title", { worker: of.name }), text, act: t("drain"), danger: true }))) return;
    if (await act(() => post(`v1/workers/${encodeURIComponent(of.worker)}/drain`), t("drained", { worker: of.name }))) await refresh();
  };
  return (
    <li class="workers-one">
      <div class="workers-line">
        <div class="workers-name">
          <Button kind="quiet" small icon={open ? "down" : "right"} aria-expanded={open} aria-label={t("details", { worker: of.name })} onClick={() => setOpen(!open)} />
          <div>
            <b>{of.name}</b> {of.draining && <span class="workers-mark">{t("draining")}</span>}
            <p class="note">{transport(of.transport)}{of.server && ` · ${t("elsewhere", { server: of.server })}`}</p>
          </div>
        </div>
        <div class="workers-serves" title={of.queues.join(", ")}>
          <span class="unseen">{t("serves")}</span>
          {of.queues.slice(0, 4).map((queue) => <a key={queue} class="tag" href={href(["jobs"], { queue })}>{queue}</a>)}
          {of.queues.length > 4 && <span class="note">{t("more", { n: of.queues.length - 4 })}</span>}
          <p class="note">{of.types ? t("types", { n: of.types.length }) : t("any")}</p>
        </div>
        <div class="workers-slots">
          <span class="number"><span class="unseen">{t("slots")}</span>{t("of", { n: of.running, slots: of.slots })}</span>
          <Bar value={of.slots ? of.running / of.slots : 0} label={t("inuse", { worker: of.name })} />
        </div>
        <p class={`workers-beat ${late ? "late" : "note"}`}>{of.transport !== "inside" && <>{t("beat")} <When at={of.last_beat} />{late && <> · {t("late")}</>}</>}</p>
        <Button small icon="stop" disabled={of.draining} onClick={drain}>{t("drain")}</Button>
      </div>
      {open && <More of={of} />}
    </li>
  );
}

function More({ of }: { of: Answer["workers"][number] }) {
  const { data } = useQuery<Page<Job>>(`v1/jobs?state=running&worker=${encodeURIComponent(of.worker)}&limit=20`, { on: () => pulse.value?.changed.jobs && pulse.value, gap: 2000 });
  return (
    <div class="workers-more">
      <dl>
        <div><dt>{t("id")}</dt><dd><code>{of.worker}</code></dd></div>
        <div><dt>{t("version")}</dt><dd>{of.version ?? "–"}</dd></div>
        <div><dt>{t("server")}</dt><dd>{of.server ?? t("here")}</dd></div>
        <div><dt>{t("connected")}</dt><dd><When at={of.connected_at} /></dd></div>
        <div><dt>{t("queues")}</dt><dd>{of.queues.join(", ")}</dd></div>
        <div><dt>{t("know")}</dt><dd>{of.types ? of.types.join(", ") : t("any")}</dd></div>
      </dl>
      <div>
        <h3>{t("hand")}</h3>
        {data && !data.jobs.length && <p class="note">{t("idle")}</p>}
        <ul class="workers-jobs">
          {data?.jobs.map((job) => (
            <li key={job.id}>
              <State state={job.state} /> <a href={href(["job", job.id])}>{job.type} <code>{job.id.slice(-8)}</code></a> <span class="note">{t("since")} <When at={job.started_at} /></span>
            </li>
          ))}
        </ul>
        <a href={href(["jobs"], { worker: of.worker })}><Icon name="jobs" size={14} /> {t("jobs")}</a>
      </div>
      {of.sandbox && <div><h3>{t("layers")}</h3><Layers of={of.sandbox} /></div>}
    </div>
  );
}

function transport(name: string): string {
  return name === "inside" ? t("inside") : name === "socket" ? t("websocket") : name === "poll" ? t("http") : name === "front" ? t("front") : name;
}
