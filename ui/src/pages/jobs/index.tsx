/** Find any job, and act on one page of them or on all that match. */
import { useEffect, useMemo, useRef } from "preact/hooks";
import { download } from "../../api/http.ts";
import type { State } from "../../api/types.ts";
import { useCommands } from "../../commands.ts";
import { language } from "../../i18n/define.ts";
import { zone } from "../../i18n/format.ts";
import { act, Button, Copy, Empty, Fault, Head, Waiting } from "../../parts/basics.tsx";
import { bulk, type Act } from "../../parts/bulk.tsx";
import { Icon } from "../../parts/icons.tsx";
import { Menu } from "../../parts/menu.tsx";
import { href, place, setQuery } from "../../route.ts";
import { Box, BOX } from "./box.tsx";
import { choose, columns, COLUMNS, members } from "./columns.tsx";
import { useJobs } from "./list.ts";
import { check, fromQuery, isEmpty, print, toFilter, toParams, toQuery, type Search } from "./search.ts";
import { Selected, useSelection } from "./select.tsx";
import { Table } from "./table.tsx";
import { Tabs } from "./tabs.tsx";
import { t } from "./texts.ts";
import { Views } from "./views.tsx";
import "./style.css";

/** The states that an act is for: others are left out of the filter, and not refused. */
const FITS: Record<Act, readonly State[]> = {
  retry: ["done", "failed", "cancelled"],
  cancel: ["scheduled", "pending", "running"],
  delete: ["scheduled", "pending", "done", "failed", "cancelled"],
};
/** Where one came from, for the way back to newer jobs. */
const before = new Map<string, string | null>();
const REST = 3000;

export default function Jobs() {
  const { query } = place.value;
  const search = useMemo(() => fromQuery(query), [query.toString()]);
  const issues = check(search);
  const cursor = query.get("cursor");
  const said = print(search);
  const picked = useSelection(said);
  const touched = useRef(-REST);
  const panel = useRef<HTMLDivElement>(null);
  const still = () => picked.count > 0 || scrollY > 120 || performance.now() - touched.current < REST || !!panel.current?.querySelector("tbody")?.contains(document.activeElement);
  const list = useJobs(search, cursor, still);
  const latest = useRef({ list, picked, cursor });
  latest.current = { list, picked, cursor };

  const find = (to: Search) => setQuery({ ...toQuery(to), cursor: null });
  const turn = (to: string | null) => {
    setQuery({ cursor: to });
    scrollTo({ top: 0 });
  };
  const older = () => {
    const { list, cursor } = latest.current;
    if (list.next === null || list.reading) return;
    before.set(list.next, cursor);
    turn(list.next);
  };
  const newer = () => latest.current.cursor && turn(before.get(latest.current.cursor) ?? null);
  const every = (what: Act) => {
    const states = search.state?.filter((one) => (FITS[what] as readonly string[]).includes(one));
    const narrowed = states ? { ...search, state: states } : search;
    const shown = print(narrowed);
    const note = shown ? <>{t("matching")} <code>{shown}</code></> : <b class="wrong">{t("nofilter")}</b>;
    return finish(bulk({ act: what, ...toFilter(narrowed, Date.now(), zone.value === "utc"), note }));
  };
  const some = (what: Act) => (picked.all ? every(what) : finish(bulk({ act: what, filter: { ids: picked.ids }, note: t("ticked") })));
  const finish = async (work: Promise<number | null>) => {
    if ((await work) === null) return;
    latest.current.picked.clear();
    await latest.current.list.refresh();
  };
  const fits = (what: Act) => !search.state?.length || search.state.some((one) => (FITS[what] as readonly string[]).includes(one));
  const save = (format: "csv" | "ndjson", whole: boolean) =>
    act(() => download("v1/jobs/export", { ...toParams(search, Date.now(), zone.value === "utc"), format, ...(whole ? { whole } : format === "csv" && { columns: members() }) }));

  useKeys(latest, older, newer);
  useEffect(() => {
    const rest = () => (touched.current = performance.now());
    panel.current?.addEventListener("pointermove", rest);
    return () => panel.current?.removeEventListener("pointermove", rest);
  }, []);

  const jobs = list.jobs;
  const bare = !jobs.length && !list.reading && !list.searching && !list.short && !list.error;
  return (
    <>
      <Head title={t("title")}>
        <Views search={search} />
        <Menu
          label={t("columns")}
          icon="columns"
          items={[...COLUMNS.filter((one) => one !== "state" && one !== "type").map((one) => ({ label: t(`col.${one}`), chosen: columns.value.includes(one), stays: true, act: () => choose(columns.value.includes(one) ? columns.value.filter((other) => other !== one) : [...columns.value, one]) })), "line", { label: t("usual"), act: () => choose(null) }]}
        />
        <Menu
          label={t("export")}
          icon="download"
          items={[t("export.note"), { label: t("export.csv"), act: () => void save("csv", false) }, { label: t("export.csvwhole"), act: () => void save("csv", true) }, { label: t("export.lines"), act: () => void save("ndjson", false) }, { label: t("export.lineswhole"), act: () => void save("ndjson", true) }]}
        />
        <a class="button primary" href={href(["new"])}><Icon name="new" /><span>{t("new")}</span></a>
      </Head>
      <Box search={search} issues={issues} onSearch={find} />
      <div class="jobs-bar">
        {picked.count ? (
          <Selected picked={picked} whole={jobs.length > 0 && jobs.every((one) => picked.has(one.id))} more={list.next !== null || cursor !== null} onAct={(what) => void some(what)} />
        ) : (
          <>
            <Tabs search={search} onChoose={(states) => find({ ...search, state: states })} />
            <Menu
              label={t("everything")}
              icon="down"
              kind="quiet"
              small
              items={(["retry", "cancel", "delete"] as const).map((one) => ({ label: t(`every.${one}`), icon: one === "retry" ? "retry" : one === "cancel" ? "stop" : "trash", danger: one === "delete", disabled: !fits(one) || issues.length > 0, act: () => void every(one) }))}
            >
              {t("everything")}
            </Menu>
          </>
        )}
      </div>
      <div class="panel flush jobs-panel" ref={panel}>
        {list.fresh > 0 && (
          <div class="jobs-fresh">
            <button
              type="button"
              onClick={() => {
                list.showFresh();
                scrollTo({ top: 0 });
              }}
            >
              <Icon name="upload" size={15} />{t("fresh", { n: list.fresh })}
            </button>
          </div>
        )}
        {list.error && <div class="jobs-fault"><Fault error={list.error} retry={list.refresh} /></div>}
        {issues.length > 0 ? null
          : jobs.length ? <Table jobs={jobs} ticked={picked.has} tick={(id, on, range) => picked.tick(id, on, range ? jobs : null)} tickAll={(on) => picked.page(jobs, on)} stale={list.stale} />
          : list.reading || (list.searching && !list.short) ? <div class="jobs-waiting"><Waiting rows={12} /></div>
          : bare && (isEmpty(search) && !cursor ? <None /> : cursor ? <Empty icon="jobs" title={t("end.title")}><Button onClick={() => turn(null)}>{t("first")}</Button></Empty>
          : <Empty icon="search" title={t("nothing.title")}><p>{t("nothing.text")}</p><Button onClick={() => find({})}>{t("clear.filters")}</Button></Empty>)}
        {list.short && (
          <div class="jobs-short" role="status">
            {list.searching ? <><i class="jobs-turn" aria-hidden="true" />{t("searching")} {t("found", { n: jobs.length })}</> : <>{t("short")} {t("found", { n: jobs.length })}<Button small onClick={list.goOn}>{t("goon")}</Button></>}
          </div>
        )}
        {(jobs.length > 0 || cursor) && !issues.length && (
          <nav class="jobs-pages" aria-label={t("pages")}>
            <span class="note">{t("shown", { n: jobs.length })}</span>
            <div class="acts">
              {cursor && <Button small kind="quiet" onClick={() => turn(null)}>{t("first")}</Button>}
              <Button small icon="left" disabled={!cursor} onClick={newer}>{t("back")}</Button>
              <Button small class="jobs-next" icon="right" disabled={list.next === null || list.reading} onClick={older}>{t("next")}</Button>
            </div>
          </nav>
        )}
      </div>
    </>
  );
}

/** How to make the first one. */
function None() {
  const command = `curl --json '{"type": "sleep", "payload": {"ms": 5000}}' ${new URL("v1/jobs", document.baseURI).href}`;
  return (
    <Empty icon="jobs" title={t("none.title")}>
      <p>{t("none.new")}</p>
      <p class="jobs-command"><code>{command}</code><Copy text={command} /></p>
      <a class="button primary" href={href(["new"])}>{t("new")}</a>
    </Empty>
  );
}

interface Latest {
  current: { list: ReturnType<typeof useJobs>; picked: ReturnType<typeof useSelection> };
}

function useKeys(latest: Latest, older: () => void, newer: () => void): void {
  const links = () => [...document.querySelectorAll<HTMLElement>(".jobs-row .jobs-link")];
  const row = () => document.activeElement?.closest<HTMLElement>(".jobs-row")?.dataset["id"];
  const step = (by: number) => {
    const all = links();
    const at = all.findIndex((one) => one.closest("tr")?.contains(document.activeElement));
    const to = all[at < 0 ? 0 : Math.max(0, Math.min(all.length - 1, at + by))];
    to?.focus({ preventScroll: true });
    to?.closest("tr")?.scrollIntoView({ block: "nearest" });
  };
  const tick = (range: boolean) => {
    const id = row();
    const { picked, list } = latest.current;
    if (id) picked.tick(id, range || !picked.has(id), range ? list.jobs : null);
  };
  useCommands(
    () => {
      const key = (id: string, key: string, act: () => void) => ({ id: `jobs.${id}`, label: t(`key.${id}` as "key.search"), group: t("group"), key, act });
      return [
        key("search", "/", () => document.getElementById(BOX)?.focus()),
        key("next", "j", () => step(1)),
        key("back", "k", () => step(-1)),
        key("select", "x", () => tick(false)),
        key("range", "X", () => tick(true)),
        key("clear", "Escape", () => latest.current.picked.clear()),
        key("older", "n", older),
        key("newer", "p", newer),
        key("refresh", "r", () => void latest.current.list.refresh()),
      ];
    },
    [language.value],
  );
}
