/** The rows: jobs as they are now, each a way to its page and a box to tick. */
import type { Job } from "../../api/types.ts";
import { go, href } from "../../route.ts";
import { cell, columns, isNumber } from "./columns.tsx";
import { t } from "./texts.ts";

interface TableProps {
  jobs: readonly Job[];
  ticked: (id: string) => boolean;
  /** `range`: also what lies between it and the one that was ticked before. */
  tick: (id: string, on: boolean, range: boolean) => void;
  tickAll: (on: boolean) => void;
  stale: boolean;
}

export function Table({ jobs, ticked, tick, tickAll, stale }: TableProps) {
  const chosen = columns.value;
  const count = jobs.filter((one) => ticked(one.id)).length;
  return (
    <div class="table-box jobs-table-box" aria-busy={stale} tabIndex={-1}>
      <table class="table jobs-table" aria-label={t("title")}>
        <thead>
          <tr>
            <th scope="col" class="jobs-tick">
              <label>
                <input
                  type="checkbox"
                  aria-label={t("select.page")}
                  checked={count > 0 && count === jobs.length}
                  ref={(box) => {
                    if (box) box.indeterminate = count > 0 && count < jobs.length;
                  }}
                  onChange={(event) => tickAll(event.currentTarget.checked)}
                />
              </label>
            </th>
            {chosen.map((one) => <th scope="col" key={one} class={`jobs-c-${one}${isNumber(one) ? " number" : ""}`}>{t(`col.${one}`)}</th>)}
          </tr>
        </thead>
        <tbody>
          {jobs.map((job) => (
            <tr key={job.id} class="jobs-row" data-id={job.id} aria-selected={ticked(job.id)} onClick={(event) => open(event, job)}>
              <td class="jobs-tick">
                <label>
                  <input
                    type="checkbox"
                    tabIndex={-1}
                    aria-label={t("select.one", { type: job.type, id: job.id.slice(-12) })}
                    checked={ticked(job.id)}
                    onClick={(event) => tick(job.id, event.currentTarget.checked, event.shiftKey)}
                  />
                </label>
              </td>
              {chosen.map((one) => <td key={one} class={`jobs-c-${one}${isNumber(one) ? " number" : ""}`} data-label={t(`col.${one}`)}>{cell(one, job)}</td>)}
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

/** Anywhere in the row will do, but for what has an act of its own, and for text that is being marked. */
function open(event: MouseEvent, job: Job): void {
  const at = event.target as HTMLElement;
  if (event.ctrlKey || event.metaKey || event.shiftKey || at.closest("a, button, input, label, .jobs-tick") || getSelection()?.toString()) return;
  go(href(["job", job.id]));
}
