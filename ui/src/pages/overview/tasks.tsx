/** Timed tasks, as a panel that can be folded: hand over a few, and watch them wait and run. */
import { useEffect, useMemo, useReducer, useRef, useState } from "preact/hooks";
import { useLater, useQuery } from "../../api/query.ts";
import type { Event, Job, Page } from "../../api/types.ts";
import { duration } from "../../i18n/format.ts";
import { kept } from "../../kept.ts";
import { paused, pulse, watch } from "../../live/socket.ts";
import { Bar, Fault, Waiting } from "../../parts/basics.tsx";
import { Icon } from "../../parts/icons.tsx";
import { href } from "../../route.ts";
import { TaskForm } from "./taskform.tsx";
import { hear, lists, MARK, type News, type Task } from "./tasks.ts";
import { k } from "./tasktexts.ts";

const SHOWN = 50;
const MOST = 500;
const TICK = 200;
const open = kept("overview.tasks", true, (value): value is boolean => typeof value === "boolean");

export function Tasks() {
  return (
    <section class="panel overview-tasks" aria-label={k("title")}>
      <h2>
        <button type="button" aria-expanded={open.value} onClick={() => (open.value = !open.value)}>
          <Icon name={open.value ? "down" : "right"} />
          {k("title")}
        </button>
        <span class="note">{k("note")}</span>
      </h2>
      {open.value && <Open />}
    </section>
  );
}

function Open() {
  const changed = { on: () => pulse.value?.changed.jobs && pulse.value.at, gap: 2000 };
  // What stands at the bottom does not keep what stands at the top.
  const later = useLater();
  const running = useQuery<Page<Job>>(later ? `v1/jobs?tag=${MARK}&state=running&limit=${MOST}` : null, changed);
  const waiting = useQuery<Page<Job>>(later ? `v1/jobs?tag=${MARK}&state=pending,scheduled&limit=${MOST}` : null, changed);
  const news = useRef(new Map<string, News>());
  const [told, redraw] = useReducer((count: number) => count + 1, 0);
  const shown = useMemo(
    () => lists(running.data?.jobs ?? [], waiting.data?.jobs ?? [], news.current, Date.now()),
    [running.data, waiting.data, told],
  );
  const watched = [...shown.active, ...shown.waiting].slice(0, 2 * SHOWN).map((one) => `job:${one.job}`);
  const topics = watched.sort().join(" ");
  useEffect(() => {
    if (!topics) return;
    return watch(topics.split(" "), (events: Event[]) => {
      if (hear(news.current, events, Date.now())) redraw(0);
    });
  }, [topics]);
  const error = running.error ?? waiting.error;
  const refresh = () => Promise.all([running.refresh(), waiting.refresh()]);
  return (
    <>
      <TaskForm done={refresh} />
      {error && <Fault error={error} retry={refresh} />}
      <div class="overview-lists">
        <List name="active" tasks={shown.active} loading={!later || running.loading} more={!!running.data?.cursor} state="running" />
        <List name="waiting" tasks={shown.waiting} loading={!later || waiting.loading} more={!!waiting.data?.cursor} state="pending,scheduled" />
      </div>
      <p class="overview-all"><a href={href(["jobs"], { tag: MARK })}>{k("all")}</a></p>
    </>
  );
}

interface ListProps {
  name: "active" | "waiting";
  tasks: readonly Task[];
  loading: boolean;
  more: boolean;
  state: string;
}

function List({ name, tasks, loading, more, state }: ListProps) {
  const rest = tasks.length - SHOWN;
  const title = k(name);
  return (
    <section class={`overview-tasklist ${name === "active" ? "runs" : "waits"}`} aria-label={title}>
      <h3>{title} <b class="badge">{tasks.length}{more && "+"}</b></h3>
      {loading ? <Waiting rows={2} /> : !tasks.length && <p class="note overview-none">{k(`none.${name}`)}</p>}
      <ol>
        {tasks.slice(0, SHOWN).map((task) => (
          <li key={task.job}>
            <a href={href(["job", task.job])} title={task.id}>{task.id}</a>
            {name === "active" ? <Left task={task} /> : <span class="figure note">{duration(task.ms / 1000)}</span>}
          </li>
        ))}
      </ol>
      {(rest > 0 || more) && <a class="overview-rest" href={href(["jobs"], { tag: MARK, state })}>{k("more", { n: Math.max(0, rest) })}{more && "+"}</a>}
    </section>
  );
}

/** How much of its time a task still has, by the server's clock. */
function Left({ task }: { task: Task }) {
  const [now, setNow] = useState(Date.now());
  useEffect(() => {
    const timer = setInterval(() => void (document.hidden || paused.peek() || setNow(Date.now())), TICK);
    return () => clearInterval(timer);
  }, []);
  const left = task.started === null ? task.ms : Math.min(task.ms, Math.max(0, task.started + task.ms - (now + ahead())));
  const part = task.ms ? 1 - left / task.ms : 1;
  return (
    <>
      <Bar value={part} label={k("progress", { id: task.id })} />
      <span class="figure note">{left ? k("left", { time: duration(Math.ceil(left / 100) / 10) }) : k("over")}</span>
      <span class="figure">{duration(task.ms / 1000)}</span>
    </>
  );
}

let skew = -Infinity;
let last = "";

/** Milliseconds by which the server's clock is ahead of ours. What it told was never early, only late: the most is the
 * truth. */
function ahead(): number {
  const at = pulse.peek()?.at;
  if (at !== undefined && at !== last) {
    last = at;
    skew = Math.max(skew, Date.parse(at) - Date.now());
  }
  return Number.isFinite(skew) ? skew : 0;
}
