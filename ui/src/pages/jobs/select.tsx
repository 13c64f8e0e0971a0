/** Which jobs are ticked, and what one does to them. */
import { useEffect, useRef, useState } from "preact/hooks";
import type { Job } from "../../api/types.ts";
import { Button } from "../../parts/basics.tsx";
import type { Act } from "../../parts/bulk.tsx";
import { t } from "./texts.ts";

/** As many as a request may name. */
const MOST = 10_000;

export interface Picked {
  ids: string[];
  count: number;
  /** Not only those, but everything that matches. */
  all: boolean;
  has: (id: string) => boolean;
  /** `among`: with all between it and the one before, in this order. */
  tick: (id: string, on: boolean, among: readonly Job[] | null) => void;
  page: (jobs: readonly Job[], on: boolean) => void;
  everything: () => void;
  clear: () => void;
}

/** For one search; another one begins with nothing. It outlives turning pages. */
export function useSelection(search: string): Picked {
  const [ids, setIds] = useState<ReadonlySet<string>>(new Set());
  const [all, setAll] = useState(false);
  const last = useRef<string | null>(null);
  const clear = () => {
    setIds(new Set());
    setAll(false);
  };
  useEffect(clear, [search]);
  const change = (some: readonly string[], on: boolean) => {
    setAll(false);
    setIds((before) => {
      const now = new Set(before);
      for (const one of some) {
        if (!on) now.delete(one);
        else if (now.size < MOST) now.add(one);
      }
      return now;
    });
  };
  return {
    ids: [...ids],
    count: ids.size,
    all,
    has: (id) => ids.has(id),
    tick: (id, on, among) => {
      const order = among?.map((one) => one.id) ?? [];
      const [from, to] = [order.indexOf(last.current ?? ""), order.indexOf(id)];
      change(from < 0 || to < 0 ? [id] : order.slice(Math.min(from, to), Math.max(from, to) + 1), on);
      last.current = id;
    },
    page: (jobs, on) => change(jobs.map((one) => one.id), on),
    everything: () => setAll(true),
    clear,
  };
}

export function Selected({ picked, whole, more, onAct }: { picked: Picked; whole: boolean; more: boolean; onAct: (act: Act) => void }) {
  return (
    <div class="jobs-selected" role="group" aria-label={t("selected", { n: picked.count })}>
      <Button kind="quiet" small icon="close" aria-label={t("unselect")} title={t("unselect")} onClick={picked.clear} />
      <b role="status">{picked.all ? t("allselected") : t("selected", { n: picked.count })}</b>
      {whole && more && !picked.all && <button type="button" class="jobs-everything" onClick={picked.everything}>{t("selectall")}</button>}
      <div class="acts">
        <Button small icon="retry" onClick={() => onAct("retry")}>{t("retry")}</Button>
        <Button small icon="stop" onClick={() => onAct("cancel")}>{t("cancel")}</Button>
        <Button small icon="trash" kind="danger" onClick={() => onAct("delete")}>{t("delete")}</Button>
      </div>
    </div>
  );
}
