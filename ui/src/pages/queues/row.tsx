import type { Queue, State } from "../../api/types.ts";
import { compact, duration, number, rough } from "../../i18n/format.ts";
import { Button } from "../../parts/basics.tsx";
import { Spark } from "../../parts/chart.tsx";
import { Command, work } from "../../parts/command.tsx";
import { Icon } from "../../parts/icons.tsx";
import { Menu } from "../../parts/menu.tsx";
import { go, href } from "../../route.ts";
import { sum, type Lately } from "./figures.ts";
import { t } from "./texts.ts";

export interface Doing {
  pause: (queue: Queue) => Promise<void>;
  clear: (queue: Queue) => Promise<void>;
}

interface RowProps {
  of: Queue;
  /** The depth that fills the bar. */
  fullest: number;
  last: Lately | null;
  hour: number[] | null;
  /** The figures have come. */
  known: boolean;
  doing: Doing;
}

const SHOWN = ["running", "pending", "scheduled", "failed"] as const;
const NUMBERS = ["pending", "scheduled", "running", "failed"] as const;

export function Row({ of, fullest, last, hour, known, doing }: RowProps) {
  const { name, paused, workers, slots } = of;
  const lists = (state: State) => href(["jobs"], { queue: name, state });
  return (
    <tbody class={paused ? "queues-paused" : undefined}>
      <tr>
        <th scope="row" class="queues-name">
          <a href={href(["jobs"], { queue: name })} title={name}>{name}</a>
          {paused && <span class="queues-halt"><Icon name="pause" size={12} />{t("paused")}</span>}
        </th>
        <td class="queues-depth"><Depth of={of} fullest={fullest} /></td>
        {NUMBERS.map((state) => (
          <td key={state} class="number" data-label={t(state)}>
            {of[state] ? <a class={`queues-${state}`} href={lists(state)} title={number(of[state])}>{compact(of[state])}</a> : <span class="nothing">0</span>}
          </td>
        ))}
        <td class="number queues-second" data-label={t("age")}>{of.oldest_age === null ? <span class="nothing">–</span> : duration(of.oldest_age < 1 ? of.oldest_age : Math.floor(of.oldest_age))}</td>
        <td class="number queues-second" data-label={t("rates")}>
          {last ? (
            <span title={t("rate", { in: rough(last.in), out: rough(last.out) })}>{rough(last.in)}<span class="nothing"> / </span>{rough(last.out)}</span>
          ) : (
            <span class="nothing" title={known ? t("unknown") : undefined}>–</span>
          )}
        </td>
        <td class="queues-hour">{hour && hour.length > 0 ? <Spark values={hour} colour="--done" label={t("hour.of", { all: sum(hour) })} /> : <span class="nothing" title={known ? t("unknown") : undefined}>–</span>}</td>
        <td class="number queues-second" data-label={t("workers")} title={t("slots", { n: slots })}>
          <a class={workers ? "queues-plain" : "nothing"} href={href(["workers"], { q: name })}>{number(workers)}</a>
          <span class="nothing queues-slots">{t("slots", { n: slots })}</span>
        </td>
        <td class="queues-acts">
          <Button small icon={paused ? "play" : "pause"} kind={paused ? "primary" : "plain"} title={t(paused ? "resume" : "pause")} aria-label={`${t(paused ? "resume" : "pause")}: ${name}`} onClick={() => void doing.pause(of)} />
          <Menu
            small
            kind="quiet"
            icon="more"
            label={t("more", { queue: name })}
            items={[
              { label: t("jobs"), icon: "jobs", act: () => go(href(["jobs"], { queue: name })) },
              { label: t("fails"), icon: "failures", act: () => go(href(["failures"], { queue: name })) },
              "line",
              { label: t("clear"), icon: "trash", danger: true, disabled: !(of.pending || of.scheduled), act: () => void doing.clear(of) },
            ]}
          />
        </td>
      </tr>
      <Warning of={of} />
    </tbody>
  );
}

function Depth({ of, fullest }: { of: Queue; fullest: number }) {
  const whole = SHOWN.reduce((all, state) => all + of[state], 0);
  const told = Object.fromEntries(SHOWN.map((state) => [state, of[state]]));
  // A queue of ten beside one of a million is still seen to hold something.
  const share = (value: number) => `max(${value ? 3 : 0}px, ${(100 * value) / fullest}%)`;
  return (
    <div class="queues-bar" role="img" aria-label={t("depth.of", told)} title={t("depth.of", told)}>
      {whole > 0 && SHOWN.map((state) => of[state] > 0 && <i key={state} style={{ width: share(of[state]), background: `var(--${state})` }} />)}
    </div>
  );
}

/** Jobs wait and nobody will come for them. */
function Warning({ of }: { of: Queue }) {
  const lacking = of.types_without_worker;
  if (!(of.pending || of.scheduled) || (of.workers > 0 && !lacking.length)) return null;
  const types = lacking.slice(0, 3).join(", ") + (lacking.length > 3 ? " …" : "");
  return (
    <tr class="queues-warning">
      <td colSpan={11}>
        <div>
          <Icon name="alert" size={15} />
          <span>{of.workers === 0 ? t("nobody") : t("ignorant", { n: lacking.length, types })}</span>
          <span class="note">{t("start")}</span>
          <Command line={work([of.name])} />
        </div>
      </td>
    </tr>
  );
}
