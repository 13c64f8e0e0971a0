/** How it goes: whether all is well, how much there is, what happened, and a place to try it out. */
import { useQuery } from "../../api/query.ts";
import type { Figures } from "../../api/types.ts";
import { pulse } from "../../live/socket.ts";
import { Head } from "../../parts/basics.tsx";
import { Banner } from "./banner.tsx";
import { Charts } from "./charts.tsx";
import { address, counts, RANGES } from "./figures.ts";
import { First } from "./first.tsx";
import { Failures, Queues } from "./lists.tsx";
import { Tasks } from "./tasks.tsx";
import { t } from "./texts.ts";
import { Tiles } from "./tiles.tsx";
import "./style.css";

export default function Overview() {
  const recent = useQuery<Figures>(address("5m"), { every: RANGES["5m"].every });
  const day = useQuery<Figures>(address("24h"), { every: RANGES["24h"].every });
  const first = isNew(day.data);
  return (
    <>
      <Head title={t("title")} />
      <div class="stack">
        <Banner />
        {first ? (
          <First />
        ) : (
          <>
            <Tiles recent={recent.data} day={day.data} />
            <Charts atHand={{ [address("5m")]: recent, [address("24h")]: day }} />
            <div class="columns">
              <Failures />
              <Queues />
            </div>
          </>
        )}
        <Tasks />
      </div>
    </>
  );
}

/** No job is there, and none was handed over in a day. */
function isNew(day: Figures | undefined): boolean {
  const told = pulse.value;
  return !!told && !!day && !Object.values(told.jobs).some(Boolean) && !counts(day, "enqueued").some(Boolean);
}
