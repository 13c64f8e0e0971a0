/** What the handler wrote, as it writes it. */
import { useEffect, useLayoutEffect, useRef, useState } from "preact/hooks";
import { get, Problem } from "../../api/http.ts";
import { absolute } from "../../i18n/format.ts";
import { epoch, watch } from "../../live/socket.ts";
import { Button, Fault, Panel } from "../../parts/basics.tsx";
import { save } from "../../parts/save.ts";
import { t } from "./texts.ts";

interface Line {
  n: number;
  at: string;
  level: string;
  text: string;
}

const SHOWN = 2000;
const SAVED = 100_000;

export function Logs({ id, ended }: { id: string; ended: boolean }) {
  const [lines, setLines] = useState<Line[] | null>(null);
  const [problem, setProblem] = useState<Problem | null>(null);
  const [find, setFind] = useState("");
  const [follow, setFollow] = useState(true);
  const box = useRef<HTMLDivElement>(null);
  const after = useRef(0);
  const start = useRef<() => void>(() => {});
  const turn = epoch.value;

  useEffect(() => {
    let gone = false;
    let reading: Promise<void> | null = null;
    let again = false;
    const read = async (): Promise<void> => {
      do {
        again = false;
        const page = await get<{ lines: Line[]; next: number }>(`v1/jobs/${id}/logs`, { query: { after: after.current, limit: 1000 }, fresh: true });
        if (gone) return;
        after.current = page.next;
        setProblem(null);
        setLines((before) => [...(before ?? []), ...page.lines].slice(-SAVED));
        again ||= page.lines.length === 1000;
      } while (again);
    };
    start.current = () => {
      // One at a time: lines are read from where the last ones ended.
      if (reading) again = true;
      else
        reading = read()
          .catch((error) => {
            if (!gone) setProblem(error instanceof Problem ? error : new Problem("bad_answer", String(error)));
          })
          .finally(() => void (reading = null));
    };
    start.current();
    const stop = watch([`job:${id}`], (events) => {
      if (events.some((one) => one.event === "log" || one.event === "finished" || one.event === "requeued")) start.current();
    });
    return () => {
      gone = true;
      stop();
    };
  }, [id, turn]);

  const wanted = find.toLowerCase();
  const found = (lines ?? []).filter((line) => !wanted || line.text.toLowerCase().includes(wanted));
  useLayoutEffect(() => {
    if (follow && box.current) box.current.scrollTop = box.current.scrollHeight;
  }, [found.length, follow]);

  const keep = () => save(`${id}.log`, (lines ?? []).map((line) => `${line.at} ${line.level.padEnd(8)} ${line.text}\n`));
  const fault = problem && <Fault error={problem} retry={() => start.current()} />;
  if (!lines?.length) return <Panel title={t("logs")}>{fault ?? <p class="note">{lines ? t(ended ? "logs.none" : "logs.wait") : "\u00a0"}</p>}</Panel>;
  return (
    <Panel
      class="flush"
      title={t("logs")}
      aside={
        <>
          <span>{t("logs.lines", { n: found.length })}</span>
          <input class="input job-find" type="search" placeholder={t("find")} aria-label={t("find")} value={find} onInput={(event) => setFind(event.currentTarget.value)} />
          {!ended && <Button small kind={follow ? "primary" : "plain"} icon="down" aria-pressed={follow} onClick={() => setFollow(!follow)}>{t("follow")}</Button>}
          <Button small kind="quiet" icon="download" aria-label={t("save")} title={t("save")} onClick={keep} />
        </>
      }
    >
      {fault}
      <div
        class="job-log"
        ref={box}
        tabIndex={0}
        role="log"
        aria-label={t("logs")}
        onScroll={(event) => {
          const { scrollTop, scrollHeight, clientHeight } = event.currentTarget;
          setFollow(scrollHeight - scrollTop - clientHeight < 24);
        }}
      >
        {found.slice(-SHOWN).map((line) => (
          <div key={line.n} class={`job-line ${line.level}`}>
            <time dateTime={line.at}>{absolute(line.at, { day: false, fine: true })}</time>
            <span class="job-level">{line.level}</span>
            <span class="job-text">{line.text}</span>
          </div>
        ))}
      </div>
    </Panel>
  );
}
