/** Failed jobs by what they failed of: what broke, how often, since when, and what to do about it. */
import { withQuery } from "../../api/http.ts";
import { useQuery } from "../../api/query.ts";
import type { FailureGroup } from "../../api/types.ts";
import { pulse } from "../../live/socket.ts";
import { Button, Empty, Fault, Head, Panel, Waiting } from "../../parts/basics.tsx";
import { bulk } from "../../parts/bulk.tsx";
import { useCalm } from "../../parts/calm.ts";
import { Finder } from "../../parts/finder.tsx";
import { place, setQuery } from "../../route.ts";
import { Group } from "./group.tsx";
import { t } from "./texts.ts";
import "./style.css";

const PAGE = 50;
/** Groups that a text is looked for in: the server knows filters for queue and type only. */
const MANY = 500;

export default function FailuresPage() {
  const asked = place.value.query;
  const [q, queue, type, cursor] = ["q", "queue", "type", "cursor"].map((name) => asked.get(name) ?? "") as [string, string, string, string];
  const address = withQuery("v1/failures", { queue: queue || null, type: type || null, cursor: cursor || null, limit: q ? MANY : PAGE });
  const { data, error, refresh } = useQuery<{ failures: FailureGroup[]; cursor: string | null }>(address, { on: () => pulse.value, gap: 2000 });
  const known = useQuery<{ types: { type: string; queues: string[] }[] }>("v1/types");
  const types = known.data?.types.map((one) => one.type) ?? [];
  const queues = [...new Set(known.data?.types.flatMap((one) => one.queues))].sort();
  const found = (data?.failures ?? []).filter((one) => fits(one, q));
  const { items, hold } = useCalm(found, (one) => one.fingerprint, address);
  const filtered = !!(q || queue || type);
  const free = () => setQuery({ q: null, queue: null, type: null, cursor: null });

  const all = async (act: "retry" | "delete", group: FailureGroup) => {
    const filter = { fingerprint: group.fingerprint, state: "failed", ...(queue && { queue }) };
    const note = <>{t("of", { type: group.type, error: group.message || group.error })}{queue && ` – ${t("in", { queue })}`}</>;
    if ((await bulk({ act, filter, title: t(`title.${act}`, { error: group.error }), note })) !== null) await refresh();
  };

  return (
    <>
      <Head title={t("title")} note={t("note")} />
      <div class="finder-row">
        <Finder label={t("find")} group={t("title")} />
        <Finder label={t("queue")} group={t("title")} name="queue" list={queues} reset={["cursor"]} shortcut={false} />
        <Finder label={t("type")} group={t("title")} name="type" list={types} reset={["cursor"]} shortcut={false} />
        {filtered && <Button kind="quiet" icon="close" onClick={free}>{t("clear")}</Button>}
      </div>
      {error && <Fault error={error} retry={refresh} />}
      {!data && !error && <Panel><Waiting rows={8} /></Panel>}
      {!!items.length && (
        <Panel class="flush">
          <ul class="failures" {...hold}>
            {items.map((one) => <Group key={one.fingerprint} of={one} queue={queue} onAll={(act) => void all(act, one)} />)}
          </ul>
        </Panel>
      )}
      {data && !items.length && !data.cursor && (
        <Panel>
          {filtered || cursor ? (
            <Empty icon="search" title={t("nofit")}>
              <p>{t("nofit.text")}</p>
              <Button onClick={free}>{t("clear")}</Button>
            </Empty>
          ) : (
            <Empty icon="check" title={t("none")}><p>{t("none.text")}</p></Empty>
          )}
        </Panel>
      )}
      {data && (cursor || data.cursor) && (
        <nav class="failures-ways" aria-label={t("title")}>
          {cursor && <Button icon="left" onClick={() => setQuery({ cursor: null })}>{t("newest")}</Button>}
          {data.cursor && <Button onClick={() => setQuery({ cursor: data.cursor })}>{t("older")}</Button>}
        </nav>
      )}
    </>
  );
}

function fits(one: FailureGroup, text: string): boolean {
  const said = `${one.type} ${one.error} ${one.frame ?? ""} ${one.message} ${one.fingerprint}`.toLowerCase();
  return text.toLowerCase().split(/\s+/).every((word) => said.includes(word));
}
