/** What the server runs with, and how this page looks. */
import { useMemo, useState } from "preact/hooks";
import { hasToken, locked, remove, setToken } from "../../api/http.ts";
import { useQuery } from "../../api/query.ts";
import { LANGUAGES, language, type Language } from "../../i18n/define.ts";
import { times, zone, zoneName } from "../../i18n/format.ts";
import { act, Button, Choice, Empty, Fault, Head, Panel, Waiting, When } from "../../parts/basics.tsx";
import { sure } from "../../parts/dialog.tsx";
import { theme } from "../../theme.ts";
import { t } from "./texts.ts";
import "./style.css";

interface Setting {
  key: string;
  value: unknown;
  default: unknown;
  origin: "default" | "file" | "environment" | "flag";
  said: string | null;
  secret: boolean;
}

interface Settings {
  version: string;
  server: string;
  started_at: string;
  store: { engine: string; version: string | null; url: string };
  token: boolean;
  settings: Setting[];
}

interface View {
  name: string;
  page: string;
  query: string;
}

export default function SettingsPage() {
  const { data, error, refresh } = useQuery<Settings>("v1/settings");
  return (
    <>
      <Head title={t("title")} note={t("note")} />
      {error && <Fault error={error} retry={refresh} />}
      <div class="stack">
        <div class="columns">
          <Panel title={t("server")}>{data ? <About of={data} /> : !error && <Waiting rows={4} />}</Panel>
          <Look />
        </div>
        <Views />
        {data && <Configuration settings={data.settings} />}
      </div>
    </>
  );
}

function About({ of }: { of: Settings }) {
  return (
    <dl class="settings-facts">
      <div><dt>{t("version")}</dt><dd>{of.version} <span class="note mono">{of.server}</span></dd></div>
      <div><dt>{t("started")}</dt><dd><When at={of.started_at} /></dd></div>
      <div><dt>{t("store")}</dt><dd>{[of.store.engine, of.store.version].filter(Boolean).join(" ")}<br /><code>{of.store.url}</code></dd></div>
      <div><dt>{t("token")}</dt><dd>{t(of.token ? "on" : "off")}</dd></div>
    </dl>
  );
}

function Look() {
  const forget = () => {
    setToken("");
    locked.value = true;
  };
  return (
    <Panel title={t("look")}>
      <dl class="settings-facts">
        <div><dt>{t("colours")}</dt><dd><Choice label={t("colours")} value={theme.value} onChange={(it) => (theme.value = it)} options={[["system", t("system")], ["light", t("light")], ["dark", t("dark")]]} /></dd></div>
        <div><dt>{t("language")}</dt><dd><Choice label={t("language")} value={language.value} onChange={(it) => (language.value = it)} options={Object.entries(LANGUAGES) as [Language, string][]} /></dd></div>
        <div><dt>{t("times")}</dt><dd><Choice label={t("times")} value={times.value} onChange={(it) => (times.value = it)} options={[["relative", t("relative")], ["absolute", t("absolute")]]} /></dd></div>
        <div><dt>{t("zone")}</dt><dd><Choice label={t("zone")} value={zone.value} onChange={(it) => (zone.value = it)} options={[["local", t("local")], ["utc", t("utc")]]} /> <span class="note">{zoneName.value}</span></dd></div>
      </dl>
      {hasToken() && <p class="settings-forget"><Button icon="close" small onClick={forget}>{t("forget")}</Button></p>}
    </Panel>
  );
}

function Views() {
  const { data, error, refresh } = useQuery<{ views: View[] }>("v1/views");
  const drop = async (name: string) => {
    if (!(await sure({ title: t("view.sure"), text: t("view.text", { name }), act: t("view.delete", { name }), danger: true }))) return;
    if (await act(() => remove(`v1/views/${encodeURIComponent(name)}`), t("deleted"))) await refresh();
  };
  return (
    <Panel title={t("views")}>
      {error && <Fault error={error} retry={refresh} />}
      {data && !data.views.length && <p class="note">{t("views.none")}</p>}
      <ul class="settings-views">
        {data?.views.map((view) => (
          <li key={view.name}>
            <a href={`#/${view.page}?${view.query}`}>{view.name}</a>
            <code>{decodeURIComponent(view.query.replaceAll("+", " ").replace(/%(?![0-9a-f]{2})/gi, "%25"))}</code>
            <Button kind="quiet" small icon="trash" aria-label={t("view.delete", { name: view.name })} onClick={() => drop(view.name)} />
          </li>
        ))}
      </ul>
    </Panel>
  );
}

function Configuration({ settings }: { settings: Setting[] }) {
  const changed = settings.filter((one) => one.origin !== "default");
  const [which, setWhich] = useState<"changed" | "all">(changed.length ? "changed" : "all");
  const [text, setText] = useState("");
  const shown = useMemo(() => {
    const wanted = text.trim().toLowerCase();
    // Whoever looks for a name looks among all of them.
    const some = wanted ? settings.filter((one) => `${one.key} ${written(one.value)}`.toLowerCase().includes(wanted)) : which === "all" ? settings : changed;
    return [...some].sort((a, b) => Number(a.origin === "default") - Number(b.origin === "default"));
  }, [settings, which, text]);
  return (
    <Panel
      class="flush"
      title={t("configuration")}
      aside={
        <>
          <input class="input settings-filter" type="search" placeholder={t("filter")} aria-label={t("filter")} value={text} onInput={(event) => setText(event.currentTarget.value)} />
          <Choice label={t("configuration")} value={which} onChange={setWhich} options={[["changed", t("changed", { n: changed.length })], ["all", t("everything", { n: settings.length })]]} />
        </>
      }
    >
      {shown.length ? (
        <div class="table-box" tabIndex={0} role="region" aria-label={t("configuration")}>
          <table class="table settings-table">
            <thead><tr><th scope="col">{t("key")}</th><th scope="col">{t("value")}</th><th scope="col">{t("origin")}</th><th scope="col">{t("default")}</th></tr></thead>
            <tbody>
              {shown.map((one) => (
                <tr key={one.key}>
                  <th scope="row"><code>{one.key}</code></th>
                  <td><Value of={one.value} /></td>
                  <td><span class={`tag ${one.origin}`}>{t(`from.${one.origin}`)}</span> {one.said && <code class="note">{one.said}</code>}</td>
                  <td class="note">{one.origin === "default" ? t("same") : <Value of={one.default} />}</td>
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      ) : (
        <Empty icon={text ? "search" : "settings"} title={text ? t("nothing") : t("plain")} />
      )}
    </Panel>
  );
}

function Value({ of }: { of: unknown }) {
  const text = written(of);
  return text ? <code>{text}</code> : <span class="nothing">{t("empty")}</span>;
}

function written(value: unknown): string {
  if (value === null || (Array.isArray(value) && !value.length)) return "";
  if (Array.isArray(value) && value.every((one) => typeof one !== "object")) return value.join(", ");
  return typeof value === "object" ? JSON.stringify(value) : String(value);
}
