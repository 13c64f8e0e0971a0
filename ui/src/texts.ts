import { define } from "./i18n/define.ts";

/** The frame around the pages. */
export const t = define({
  en: {
    overview: "Overview", jobs: "Jobs", failures: "Failures", queues: "Queues", workers: "Workers", new: "New job",
    api: "API", settings: "Settings", job: "Job", more: "More", pages: "Pages", goto: "Go to", look: "Look",
    search: "Search or do …", skip: "To the content",
    live: "Live", connecting: "Connecting …", polling: "Every 5 s", away: "Reconnecting …", paused: "Paused",
    pause: "Stop the page from changing", resume: "Go on, live", theme: "Colours", system: "As the system",
    light: "Light", dark: "Dark", language: "Language", times: "Times", relative: "Relative", absolute: "Exact",
    local: "Your zone ({zone})", utc: "UTC", appearance: "Appearance",
    "nothing.title": "There is no such page", "nothing.text": "The address names “{page}”.", home: "To the overview",
    "token.title": "This server needs a token", "token.text": "It is the one the server was started with (ROTA_TOKEN). It stays in this tab.",
    token: "Token", enter: "Enter", "token.wrong": "The server does not take this token.",
  },
  de: {
    overview: "Übersicht", jobs: "Jobs", failures: "Fehler", queues: "Warteschlangen", workers: "Worker", new: "Neuer Job",
    api: "API", settings: "Einstellungen", job: "Job", more: "Mehr", pages: "Seiten", goto: "Gehe zu", look: "Aussehen",
    search: "Suchen oder tun …", skip: "Zum Inhalt",
    live: "Live", connecting: "Verbindet …", polling: "Alle 5 s", away: "Verbindet neu …", paused: "Angehalten",
    pause: "Die Seite anhalten", resume: "Live weiter", theme: "Farben", system: "Wie das System",
    light: "Hell", dark: "Dunkel", language: "Sprache", times: "Zeiten", relative: "Relativ", absolute: "Genau",
    local: "Ihre Zone ({zone})", utc: "UTC", appearance: "Darstellung",
    "nothing.title": "Diese Seite gibt es nicht", "nothing.text": "Die Adresse nennt „{page}“.", home: "Zur Übersicht",
    "token.title": "Dieser Server verlangt ein Token", "token.text": "Es ist das, mit dem der Server gestartet wurde (ROTA_TOKEN). Es bleibt in diesem Tab.",
    token: "Token", enter: "Eintreten", "token.wrong": "Der Server nimmt dieses Token nicht an.",
  },
  sv: {
    overview: "Översikt", jobs: "Jobb", failures: "Fel", queues: "Köer", workers: "Arbetare", new: "Nytt jobb",
    api: "API", settings: "Inställningar", job: "Jobb", more: "Mer", pages: "Sidor", goto: "Gå till", look: "Utseende",
    search: "Sök eller gör …", skip: "Till innehållet",
    live: "Live", connecting: "Ansluter …", polling: "Var 5:e s", away: "Återansluter …", paused: "Pausad",
    pause: "Stanna sidan", resume: "Fortsätt live", theme: "Färger", system: "Som systemet",
    light: "Ljust", dark: "Mörkt", language: "Språk", times: "Tider", relative: "Relativa", absolute: "Exakta",
    local: "Din zon ({zone})", utc: "UTC", appearance: "Utseende",
    "nothing.title": "Den sidan finns inte", "nothing.text": "Adressen säger ”{page}”.", home: "Till översikten",
    "token.title": "Servern kräver en token", "token.text": "Det är den som servern startades med (ROTA_TOKEN). Den stannar i den här fliken.",
    token: "Token", enter: "Öppna", "token.wrong": "Servern godtar inte den här token.",
  },
});
