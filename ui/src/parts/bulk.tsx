/** An act on all jobs of a filter: counted first, asked for by its number, then done in small steps that can be
 * watched and stopped. One at a time, for the whole page: it goes on when another page is opened. */
import { signal } from "@preact/signals";
import type { ComponentChildren } from "preact";
import { useEffect } from "preact/hooks";
import { Problem } from "../api/http.ts";
import { lines } from "../api/lines.ts";
import type { Changed } from "../api/types.ts";
import { number } from "../i18n/format.ts";
import { Bar, Button, Fault } from "./basics.tsx";
import { t } from "./bulktexts.ts";
import { Dialog } from "./dialog.tsx";
import { t as words } from "./texts.ts";
import { told } from "./toasts.tsx";

export type Act = "retry" | "cancel" | "delete";

export interface Order {
  act: Act;
  /** As the bodies of `POST /v1/jobs/{act}` have it; `all` in place of a filter. */
  filter: Record<string, unknown>;
  all?: boolean;
  /** The question, where a number of jobs does not say enough. */
  title?: string;
  note?: ComponentChildren;
}

interface Work extends Order {
  step: "count" | "ask" | "run" | "broken";
  /** How many match, as far as counted. */
  total: number;
  /** Over all tries of this order. */
  matched: number;
  changed: number;
  cursor: string | null;
  error?: Problem;
  answer: (changed: number | null) => void;
}

/** Milliseconds between two drawings of the progress. */
const DRAW = 120;
const work = signal<Work | null>(null);
let running: AbortController | null = null;

/** Ask for it and do it. Answers how many jobs it changed, null when the reader thought better of it. */
export function bulk(order: Order): Promise<number | null> {
  end(null);
  return new Promise((answer) => {
    work.value = { ...order, step: "count", total: 0, matched: 0, changed: 0, cursor: null, answer };
    void count();
  });
}

/** The dialog of it, drawn once in the frame. */
export function Bulk() {
  const it = work.value;
  // With each step other buttons are there; the focus must not be lost with those that went.
  useEffect(() => document.querySelector<HTMLElement>(".bulk-dialog > footer button:last-child")?.focus(), [it?.step]);
  if (!it) return null;
  const { act, step, total, matched, changed, error } = it;
  const asking = step === "count" || step === "ask";
  const leave = () => (asking || error ? finish() : stop());
  return (
    <Dialog
      title={!asking ? t(`doing.${act}`) : (it.title ?? (step === "ask" ? t(`title.${act}`, { n: total }) : t("counting")))}
      class="narrow bulk-dialog"
      {...(step !== "run" && { onClose: leave })}
      acts={
        step === "run" ? (
          <Button icon="stop" onClick={stop}>{t("stop")}</Button>
        ) : step === "broken" ? (
          <>
            <Button onClick={leave}>{words("close")}</Button>
            <Button kind="primary" onClick={run}>{t("on")}</Button>
          </>
        ) : (
          <>
            <Button onClick={leave}>{words("cancel")}</Button>
            <Button kind={act === "retry" ? "primary" : "danger"} disabled={step === "count"} onClick={run}>{t(`act.${act}`, { n: total })}</Button>
          </>
        )
      }
    >
      <div class="bulk">
        {asking && it.note && <p class="note">{it.note}</p>}
        {step === "count" && !error && (
          <div role="status">
            <Bar value={null} label={t("counting")} />
            <p class="note">{t("sofar", { n: total })}</p>
          </div>
        )}
        {step === "ask" && <p>{t(`ask.${act}`)}</p>}
        {!asking && (
          <>
            <Bar value={total ? Math.min(1, matched / total) : null} label={t(`doing.${act}`)} />
            <p class="bulk-told number">
              <span>{t("of", { n: number(matched), total: number(Math.max(total, matched)) })}</span>
              {matched > changed && <span class="note">{t(`skipped.${act}`, { n: matched - changed })}</span>}
            </p>
          </>
        )}
        {error && <Fault error={error} {...(step === "count" && { retry: count })} />}
      </div>
    </Dialog>
  );
}

/** The number in the question is of this moment; what comes later is not met by the act either. */
async function count(): Promise<void> {
  change({ step: "count", total: 0, error: undefined });
  const last = await follow(true, ({ matched }) => change({ total: matched }));
  if (last === null) return;
  const it = work.peek();
  if (it && !it.total) {
    told("done", t(`none.${it.act}`));
    return end(0);
  }
  change({ step: "ask" });
}

async function run(): Promise<void> {
  const begun = work.peek();
  if (!begun) return;
  change({ step: "run", error: undefined });
  const { matched, changed } = begun;
  const last = await follow(false, (now) => change({ matched: matched + now.matched, changed: changed + now.changed, cursor: now.cursor }));
  if (last !== null) finish();
}

/** Hear all lines; the last one, or null when it came to no end. */
async function follow(dry: boolean, tell: (line: Changed) => void): Promise<Changed | null> {
  const it = work.peek();
  if (!it) return null;
  const mine = new AbortController();
  running = mine;
  let last: Changed | null = null;
  let drawn = 0;
  try {
    const body = { ...(it.all ? { all: true } : { filter: it.filter }), ...(dry ? { dry_run: true } : it.cursor && { cursor: it.cursor }) };
    for await (const line of lines<Changed>(`v1/jobs/${it.act}`, body, mine.signal)) {
      last = line;
      if (performance.now() - drawn < DRAW) continue;
      drawn = performance.now();
      tell(line);
    }
    if (last?.cursor !== null) throw new Problem("unreachable", t("broken", { n: number(last?.matched ?? 0), total: number(it.total) }));
    tell(last);
    return last;
  } catch (error) {
    if (mine.signal.aborted) return null;
    if (last) tell(last);
    change({ step: dry ? "count" : "broken", error: error instanceof Problem ? error : new Problem("bad_answer", String(error)) });
    return null;
  } finally {
    if (running === mine) running = null;
  }
}

function stop(): void {
  const it = work.peek();
  running?.abort();
  if (it) told("done", `${t("stopped")} ${t(`did.${it.act}`, { n: it.changed })}`);
  end(it?.changed ?? null);
}

function finish(): void {
  const it = work.peek();
  if (!it || it.step === "count" || it.step === "ask") return end(null);
  const skipped = it.matched - it.changed;
  told("done", [t(`did.${it.act}`, { n: it.changed }), skipped > 0 && t(`skipped.${it.act}`, { n: skipped })].filter(Boolean).join(" "));
  end(it.changed);
}

function change(what: { [K in keyof Work]?: Work[K] | undefined }): void {
  const it = work.peek();
  if (it) work.value = { ...it, ...what } as Work;
}

function end(changed: number | null): void {
  const it = work.peek();
  running?.abort();
  running = null;
  work.value = null;
  it?.answer(changed);
}
