/** The dialog that acts on many jobs: how many, whether really, how far, and what became of it. */
import { useEffect, useRef, useState } from "preact/hooks";
import { Problem } from "../../api/http.ts";
import type { Changed } from "../../api/types.ts";
import { Bar, Button, Fault } from "../../parts/basics.tsx";
import { Dialog } from "../../parts/dialog.tsx";
import { bulk, type Act, type Target } from "./bulk.ts";
import { t } from "./texts.ts";

export interface Wanted {
  act: Act;
  target: Target;
  /** The filter as it is typed; null for jobs that were ticked. */
  filter: string | null;
}

type Stage = "counting" | "asking" | "doing" | "done" | "stopped" | "broken";

export function Many({ act, target, filter, onClose }: Wanted & { onClose: (changed: boolean) => void }) {
  const [stage, setStage] = useState<Stage>("counting");
  const [count, setCount] = useState(0);
  const [told, tell] = useState<Changed>({ matched: 0, changed: 0, skipped: 0, cursor: null });
  const [error, setError] = useState<Problem>();
  const run = useRef(new AbortController());

  const go = async (dry: boolean) => {
    const mine = new AbortController();
    run.current = mine;
    setError(undefined);
    setStage(dry ? "counting" : "doing");
    try {
      await bulk(act, target, dry, (step) => (dry ? setCount(step.matched) : tell(step)), mine.signal);
      setStage(dry ? "asking" : "done");
    } catch (fault) {
      if (mine.signal.aborted) return;
      setError(fault instanceof Problem ? fault : new Problem("bad_answer", String(fault)));
      setStage("broken");
    }
  };
  // With each stage other buttons are there; the focus must not be lost with those that went.
  useEffect(() => document.querySelector<HTMLElement>(".jobs-many > footer button:last-child")?.focus(), [stage]);
  useEffect(() => {
    void go(true);
    return () => run.current.abort();
  }, []);

  const begun = stage === "doing" || stage === "done" || stage === "stopped" || told.matched > 0;
  const close = () => onClose(begun);
  const stop = () => {
    run.current.abort();
    setStage("stopped");
  };
  const most = Math.max(count, told.matched);
  const acts =
    stage === "doing" ? <Button icon="stop" onClick={stop}>{t("stop")}</Button>
    : stage === "asking" && count > 0 ? (
      <>
        <Button onClick={close}>{t("leave")}</Button>
        <Button kind={act === "retry" ? "primary" : "danger"} onClick={() => go(false)}>{t(`do.${act}`, { n: count })}</Button>
      </>
    )
    : <Button onClick={close}>{t(stage === "counting" ? "leave" : "close")}</Button>;
  return (
    <Dialog title={t(stage === "asking" && count > 0 ? `ask.${act}` : `many.${act}`, { n: count })} class="jobs-many" onClose={stage === "doing" ? stop : close} acts={acts}>
      {filter === null ? <p class="note">{t("ticked")}</p> : filter ? <p class="jobs-filter"><span class="note">{t("matching")}</span> <code>{filter}</code></p> : <p class="jobs-filter wrong">{t("nofilter")}</p>}
      {stage === "counting" && (
        <div class="jobs-far" role="status">
          <Bar value={null} label={t("counting", { n: count })} />
          <p class="note">{t("counting", { n: count })}</p>
        </div>
      )}
      {stage === "asking" && <p>{count ? t(`text.${act}`) : t(`none.${act}`)}</p>}
      {begun && stage !== "asking" && (
        <div class="jobs-far">
          <Bar value={stage === "done" ? 1 : most ? told.matched / most : null} label={t(`many.${act}`)} />
          <p class="number" role={stage === "doing" ? undefined : "status"}>
            {stage === "stopped" && <b>{t("stopped")} </b>}
            {t("changed", { n: told.changed })}{told.skipped > 0 && `, ${t("skipped", { n: told.skipped })}`}
            {stage === "doing" && <span class="note"> {t("of", { n: most })}</span>}
          </p>
          {told.skipped > 0 && stage !== "doing" && <p class="note">{t(`skipped.${act}`)}</p>}
        </div>
      )}
      {error && <Fault error={error} {...(!begun && { retry: () => void go(true) })} />}
    </Dialog>
  );
}
