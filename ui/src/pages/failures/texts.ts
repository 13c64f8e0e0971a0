import { define } from "../../i18n/define.ts";

export const t = define({
  en: {
    title: "Failures", note: "Failed jobs, put together by what they failed of. Last seen first.",
    find: "Find in what is shown", queue: "Queue", type: "Type", clear: "Clear filters",
    none: "Nothing has failed", "none.text": "When jobs fail, they come together here by type, error and place in the code: one glance tells what broke, and how often.",
    nofit: "No group of failures fits", "nofit.text": "Others may be there without these filters.",
    jobs: { one: "failed job", other: "failed jobs" }, last: "last", first: "first", hours: "Failures by hour, last 24 hours: {all} in all, {now} in this one",
    day: "24 h", latest: "Latest job", open: "Show the jobs", retry: "Retry all", delete: "Delete all", acts: "More for {error}",
    "title.retry": "Retry what failed of {error}?", "title.delete": "Delete what failed of {error}?", of: "{type} · {error}", "in": "Only those of the queue {queue}.",
    older: "Older groups", newest: "To the newest", nomessage: "It said nothing.",
  },
  de: {
    title: "Fehler", note: "Gescheiterte Jobs, zusammengefasst nach dem, woran sie scheiterten. Zuletzt gesehene zuerst.",
    find: "Im Gezeigten suchen", queue: "Warteschlange", type: "Typ", clear: "Filter aufheben",
    none: "Nichts ist gescheitert", "none.text": "Scheitern Jobs, stehen sie hier nach Typ, Fehler und Stelle im Code beisammen: Ein Blick sagt, was kaputt ist und wie oft.",
    nofit: "Keine Fehlergruppe passt", "nofit.text": "Ohne diese Filter kann es andere geben.",
    jobs: { one: "gescheiterter Job", other: "gescheiterte Jobs" }, last: "zuletzt", first: "zuerst", hours: "Fehler je Stunde, letzte 24 Stunden: {all} insgesamt, {now} in dieser",
    day: "24 h", latest: "Neuester Job", open: "Jobs zeigen", retry: "Alle wiederholen", delete: "Alle löschen", acts: "Mehr zu {error}",
    "title.retry": "Wiederholen, was an {error} scheiterte?", "title.delete": "Löschen, was an {error} scheiterte?", of: "{type} · {error}", "in": "Nur die der Warteschlange {queue}.",
    older: "Ältere Gruppen", newest: "Zu den neuesten", nomessage: "Ohne Meldung.",
  },
  sv: {
    title: "Fel", note: "Misslyckade jobb, samlade efter vad de misslyckades med. Senast sedda först.",
    find: "Sök i det som visas", queue: "Kö", type: "Typ", clear: "Rensa filter",
    none: "Ingenting har misslyckats", "none.text": "När jobb misslyckas samlas de här efter typ, fel och plats i koden: en blick säger vad som gick sönder och hur ofta.",
    nofit: "Ingen grupp av fel passar", "nofit.text": "Utan de här filtren kan det finnas andra.",
    jobs: { one: "misslyckat jobb", other: "misslyckade jobb" }, last: "senast", first: "först", hours: "Fel per timme, senaste 24 timmarna: {all} totalt, {now} i den här",
    day: "24 h", latest: "Senaste jobbet", open: "Visa jobben", retry: "Kör om alla", delete: "Ta bort alla", acts: "Mer om {error}",
    "title.retry": "Köra om det som föll på {error}?", "title.delete": "Ta bort det som föll på {error}?", of: "{type} · {error}", "in": "Bara de i kön {queue}.",
    older: "Äldre grupper", newest: "Till de senaste", nomessage: "Utan meddelande.",
  },
});
