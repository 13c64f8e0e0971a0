/** The frame: where one can go, how the connection is, and the page that the address names. */
import { useEffect, useState } from "preact/hooks";
import { get, locked, Problem, setToken } from "./api/http.ts";
import { paletteOpen, useCommands, type Command } from "./commands.ts";
import { LANGUAGES, language, type Language } from "./i18n/define.ts";
import { compact, times, zone, zoneName } from "./i18n/format.ts";
import { epoch, paused, pulse, status } from "./live/socket.ts";
import { isPage, MENU, PAGES, type PageName } from "./pages/all.ts";
import { Button, Empty } from "./parts/basics.tsx";
import { Bulk } from "./parts/bulk.tsx";
import { Dialog, Questions } from "./parts/dialog.tsx";
import { Icon } from "./parts/icons.tsx";
import { Menu } from "./parts/menu.tsx";
import { Help, Palette } from "./parts/palette.tsx";
import { Toasts } from "./parts/toasts.tsx";
import { go, href, place } from "./route.ts";
import { useScroll } from "./scroll.ts";
import { t } from "./texts.ts";
import { theme, type Theme } from "./theme.ts";

export function App() {
  const { page } = place.value;
  useCommands(everywhere, [language.value, paused.value]);
  useScroll();
  useEffect(() => {
    document.title = isPage(page) ? `${t(page)} · Rota` : "Rota";
  }, [page, language.value]);
  return (
    <>
      <a class="skip" href="#content" onClick={skip}>{t("skip")}</a>
      <div class="frame">
        <Side page={page} />
        <div class="main">
          <Top />
          <main id="content" tabIndex={-1}>
            {isPage(page) ? <Page key={page} name={page} /> : <Nowhere page={page} />}
          </main>
        </div>
        <Tabs page={page} />
      </div>
      <Palette />
      <Help />
      <Questions />
      <Bulk />
      <Toasts />
      {locked.value && <Token />}
    </>
  );
}

function Side({ page }: { page: string }) {
  return (
    <nav class="side" aria-label={t("pages")}>
      <a class="brand" href={href(["overview"])}>
        <img src="ui/icon.svg" alt="" width="26" height="26" />
        <span>Rota</span>
      </a>
      <ul>
        {MENU.map((name) => (
          <li key={name}>
            <a href={href([name])} aria-current={name === page || (name === "jobs" && page === "job") ? "page" : undefined}>
              <Icon name={PAGES[name].icon} />
              <span>{t(name)}</span>
              <Badge page={name} />
            </a>
          </li>
        ))}
      </ul>
    </nav>
  );
}

/** How much is there, where that matters. */
function Badge({ page }: { page: PageName }) {
  const told = pulse.value;
  if (!told) return null;
  if (page === "failures" && told.jobs.failed) return <b class="badge bad">{compact(told.jobs.failed)}</b>;
  if (page === "jobs" && told.jobs.running) return <b class="badge">{compact(told.jobs.running)}</b>;
  if (page === "workers") {
    // Those that are part of a server are always there.
    const own = told.workers.connected - told.workers.inside;
    return own > 0 ? <b class="badge">{compact(own)}</b> : null;
  }
  return null;
}

function Top() {
  return (
    <header class="top">
      <a class="brand small" href={href(["overview"])} aria-label="Rota"><img src="ui/icon.svg" alt="" width="26" height="26" /></a>
      <button type="button" class="finder" onClick={() => (paletteOpen.value = true)}>
        <Icon name="search" size={16} />
        <span>{t("search")}</span>
        <kbd>Ctrl K</kbd>
      </button>
      <div class="top-acts">
        <Live />
        <Menu
          label={t("appearance")}
          icon="sun"
          kind="quiet"
          items={[
            t("theme"),
            ...(["system", "light", "dark"] as Theme[]).map((one) => ({ label: t(one), chosen: theme.value === one, act: () => void (theme.value = one) })),
            t("times"),
            ...(["relative", "absolute"] as const).map((one) => ({ label: t(one), chosen: times.value === one, act: () => void (times.value = one) })),
            "line",
            ...(["local", "utc"] as const).map((one) => ({ label: t(one, { zone: zoneLabel() }), chosen: zone.value === one, act: () => void (zone.value = one) })),
            t("language"),
            ...Object.entries(LANGUAGES).map(([one, label]) => ({ label, chosen: language.value === one, act: () => void (language.value = one as Language) })),
          ]}
        />
      </div>
    </header>
  );
}

function zoneLabel(): string {
  return zone.value === "local" ? zoneName.value : Intl.DateTimeFormat().resolvedOptions().timeZone;
}

function Live() {
  const now = status.value;
  return (
    <button type="button" class={`link ${now}`} title={t(paused.value ? "resume" : "pause")} aria-pressed={paused.value} onClick={toggle}>
      <i aria-hidden="true" />
      <span role="status">{t(now)}</span>
      <Icon name={paused.value ? "play" : "pause"} size={14} />
    </button>
  );
}

function toggle(): void {
  paused.value = !paused.value;
  if (!paused.value) epoch.value += 1;
}

function Tabs({ page }: { page: string }) {
  const shown = ["overview", "jobs", "failures", "queues"] as const;
  return (
    <nav class="tabs" aria-label={t("pages")}>
      {shown.map((name) => (
        <a key={name} href={href([name])} aria-current={name === page || (name === "jobs" && page === "job") ? "page" : undefined}>
          <Icon name={PAGES[name].icon} size={20} />
          <span>{t(name)}</span>
        </a>
      ))}
      <Menu label={t("more")} icon="more" kind="quiet" items={MENU.slice(4).map((name) => ({ label: t(name), icon: PAGES[name].icon, act: () => go(href([name])) }))}>
        {t("more")}
      </Menu>
    </nav>
  );
}

function Page({ name }: { name: PageName }) {
  const { Shown } = PAGES[name];
  return <Shown />;
}

function Nowhere({ page }: { page: string }) {
  return (
    <Empty icon="search" title={t("nothing.title")}>
      <p>{t("nothing.text", { page })}</p>
      <a class="button primary" href={href(["overview"])}>{t("home")}</a>
    </Empty>
  );
}

/** Asked for when the server refuses; what was open stays behind it and goes on afterwards. */
function Token() {
  const [value, setValue] = useState("");
  const [wrong, setWrong] = useState("");
  const enter = async (event: Event) => {
    event.preventDefault();
    setToken(value.trim());
    try {
      await get("v1/stats", { fresh: true });
      locked.value = false;
      epoch.value += 1;
    } catch (error) {
      setWrong(error instanceof Problem && error.code !== "invalid_credentials" ? error.message : t("token.wrong"));
    }
  };
  return (
    <Dialog title={t("token.title")} class="narrow">
      <form class="form" onSubmit={enter}>
        <p class="note">{t("token.text")}</p>
        <label class="field">
          <span>{t("token")}</span>
          <input class="input" type="password" autofocus autocomplete="off" required value={value} onInput={(event) => setValue(event.currentTarget.value)} aria-invalid={!!wrong} />
        </label>
        {wrong && <p class="wrong" role="alert">{wrong}</p>}
        <Button kind="primary" type="submit">{t("enter")}</Button>
      </form>
    </Dialog>
  );
}

function everywhere(): Command[] {
  const pages = MENU.map((name) => ({ id: `go.${name}`, label: t(name), group: t("goto"), icon: PAGES[name].icon, key: PAGES[name].key, act: () => go(href([name])) }));
  const look = (["light", "dark", "system"] as Theme[]).map((one) => ({ id: `theme.${one}`, label: `${t("theme")}: ${t(one)}`, group: t("look"), act: () => void (theme.value = one) }));
  const speak = Object.entries(LANGUAGES).map(([one, label]) => ({ id: `language.${one}`, label: `${t("language")}: ${label}`, group: t("look"), act: () => void (language.value = one as Language) }));
  const live = { id: "live", label: t(paused.value ? "resume" : "pause"), group: t("look"), key: ".", act: toggle };
  return [...pages, live, ...look, ...speak];
}

function skip(event: Event): void {
  // The address is the page's; only the focus goes there.
  event.preventDefault();
  document.getElementById("content")?.focus();
}
