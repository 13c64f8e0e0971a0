/** What the handler wrote, as it writes it. */
import { useEffect, useLayoutEffect, useRef, useState } from "preact/hooks";
import { get } from "../../api/http.ts";
import { absolute } from "../../i18n/format.ts";
import { epoch, watch } from "../../live/socket.ts";
import { Button, Panel } from "../../parts/basics.tsx";
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
  const [find, setFind] = useState("");
  const [follow, setFollow] = useState(true);
  const box = useRef<HTMLDivElement>(null);
  const turn = epoch.value;

  useEffect(() => {
    let gone = false;
    let after = 0;
    let reading: Promise<void> | null = null;
    let again = false;
    const read = async (): Promise<void> => {
      do {
        again = false;
        const page = await get<{ lines: Line[]; next: number }>(`v1/jobs/${id}/logs`, { query: { after, limit: 1000 }, fresh: true }).catch(() => null);
        if (gone || !page) return;
        after = page.next;
        setLines((before) => [...(before ?? []), ...page.lines].slice(-SAVED));
        again ||= page.lines.length === 1000;
      } while (again);
    };
    const start = () => {
      // One at a time: lines are read from where the last ones ended.
      if (reading) again = true;
      else reading = read().finally(() => void (reading = null));
    };
    setLines(null);
    start();
    const stop = watch([`job:${id}`], (events) => {
      if (events.some((one) => one.event === "log" || one.event === "finished" || one.event === "requeued")) start();
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

  const save = () => {
    const text = (lines ?? []).map((line) => `${line.at} ${line.level.padEnd(8)} ${line.text}\n`);
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob(text, { type: "text/plain" }));
    link.download = `${id}.log`;
    link.click();
    URL.revokeObjectURL(link.href);
  };
  if (!lines?.length) return <Panel title={t("logs")}><p class="note">{lines ? t(ended ? "logs.none" : "logs.wait") : " "}</p></Panel>;
  return (
    <Panel
      class="flush"
      title={t("logs")}
      aside={
        <>
          <span>{t("logs.lines", { n: found.length })}</span>
          <input class="input job-find" type="search" placeholder={t("find")} aria-label={t("find")} value={find} onInput={(event) => setFind(event.currentTarget.value)} />
          {!ended && <Button small kind={follow ? "primary" : "plain"} icon="down" aria-pressed={follow} onClick={() => setFollow(!follow)}>{t("follow")}</Button>}
          <Button small kind="quiet" icon="download" aria-label={t("save")} title={t("save")} onClick={save} />
        </>
      }
    >
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
