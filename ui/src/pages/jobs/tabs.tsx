/** The states, with how many jobs are in each as far as counters tell. */
import { useQuery } from "../../api/query.ts";
import { STATES, type Counts, type Queue, type State } from "../../api/types.ts";
import { compact } from "../../i18n/format.ts";
import { pulse } from "../../live/socket.ts";
import type { Field, Search } from "./search.ts";
import { t } from "./texts.ts";

export function Tabs({ search, onChoose }: { search: Search; onChoose: (states: readonly State[]) => void }) {
  const counts = useCounts(search);
  const chosen = search.state ?? [];
  const tab = (key: string, label: string, pressed: boolean, count: number | undefined, states: readonly State[]) => (
    <button key={key} type="button" class={`jobs-tab ${key}`} aria-pressed={pressed} onClick={() => onChoose(states)}>
      {label}
      <span class={`jobs-count number${count ? "" : " none"}`}>{count === undefined ? "" : compact(count)}</span>
    </button>
  );
  return (
    <div class="jobs-tabs" role="group" aria-label={t("states")}>
      {tab("all", t("all"), !chosen.length, counts && STATES.reduce((sum, one) => sum + counts[one], 0), [])}
      {STATES.map((one) => tab(one, t(`s.${one}`), chosen.includes(one), counts?.[one], [one]))}
    </div>
  );
}

/** Of everything, or of some queues; nobody counts other searches. */
function useCounts(search: Search): Counts | undefined {
  const others = (Object.keys(search) as Field[]).filter((one) => search[one]?.length && one !== "state");
  const queues = others.length === 1 && others[0] === "queue" ? search.queue : undefined;
  const { data } = useQuery<{ queues: Queue[] }>(queues ? "v1/queues" : null, { on: () => pulse.value, gap: 2000 });
  if (!others.length) return pulse.value?.jobs;
  if (!queues || !data) return undefined;
  const mine = data.queues.filter((one) => queues.includes(one.name));
  return Object.fromEntries(STATES.map((state) => [state, mine.reduce((sum, one) => sum + one[state], 0)])) as Counts;
}
