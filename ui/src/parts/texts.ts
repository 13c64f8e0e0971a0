import { define } from "../i18n/define.ts";

/** Words that many parts of the page use. */
export const t = define({
  en: {
    "state.scheduled": "scheduled", "state.pending": "pending", "state.running": "running",
    "state.done": "done", "state.failed": "failed", "state.cancelled": "cancelled",
    cancel: "Cancel", close: "Close", copy: "Copy", retry: "Try again", loading: "Loading …",
    dismiss: "Dismiss",
    "fault.unreachable": "The server does not answer. The page shows what it last knew, and goes on trying.",
    "chart.empty": "Nothing happened in this time",
    "chart.table": "{title}: highest {high}, last {last}",
  },
  de: {
    "state.scheduled": "geplant", "state.pending": "wartend", "state.running": "laufend",
    "state.done": "fertig", "state.failed": "gescheitert", "state.cancelled": "abgebrochen",
    cancel: "Abbrechen", close: "Schließen", copy: "Kopieren", retry: "Noch einmal", loading: "Wird geladen …",
    dismiss: "Ausblenden",
    "fault.unreachable": "Der Server antwortet nicht. Die Seite zeigt den letzten bekannten Stand und versucht es weiter.",
    "chart.empty": "In dieser Zeit ist nichts geschehen",
    "chart.table": "{title}: höchster Wert {high}, letzter {last}",
  },
  sv: {
    "state.scheduled": "schemalagt", "state.pending": "väntande", "state.running": "pågående",
    "state.done": "klart", "state.failed": "misslyckat", "state.cancelled": "avbrutet",
    cancel: "Avbryt", close: "Stäng", copy: "Kopiera", retry: "Försök igen", loading: "Läser in …",
    dismiss: "Dölj",
    "fault.unreachable": "Servern svarar inte. Sidan visar det senast kända läget och försöker igen.",
    "chart.empty": "Ingenting hände under den här tiden",
    "chart.table": "{title}: högst {high}, senast {last}",
  },
});

/** The palette and the sheet of keys. */
export const p = define({
  en: {
    title: "Go to, or do", hint: "Page, act, job id or search …", nothing: "Nothing is called so.",
    search: "Search jobs for “{text}”", job: "Open job {text}", help: "Keys", anywhere: "Anywhere",
    palette: "Go to, or do", keys: "This sheet", escape: "Close what is open",
  },
  de: {
    title: "Gehe zu, oder tue", hint: "Seite, Handlung, Job-Id oder Suche …", nothing: "Nichts heißt so.",
    search: "Jobs suchen mit „{text}“", job: "Job {text} öffnen", help: "Tasten", anywhere: "Überall",
    palette: "Gehe zu, oder tue", keys: "Diese Übersicht", escape: "Offenes schließen",
  },
  sv: {
    title: "Gå till, eller gör", hint: "Sida, åtgärd, jobb-id eller sökning …", nothing: "Ingenting heter så.",
    search: "Sök jobb efter ”{text}”", job: "Öppna jobb {text}", help: "Tangenter", anywhere: "Överallt",
    palette: "Gå till, eller gör", keys: "Den här översikten", escape: "Stäng det som är öppet",
  },
});
