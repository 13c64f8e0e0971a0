import { define } from "../../i18n/define.ts";

/** The timed tasks. */
export const k = define({
  en: {
    title: "Timed tasks", note: "Try it out: each task is a job that sleeps for its time.", id: "ID", ms: "Duration (ms)", add: "Add row", submit: "Submit", remove: "Remove row {n}",
    hint: "Tab after the last row adds one, Enter submits.", "fault.id": "A task needs an ID.", "fault.ms": "A duration is a whole number of milliseconds.", "fault.long": "An ID has at most {n} characters.",
    "fault.range": "A task sleeps for at most {n} ms.", "fault.none": "Fill in an ID and a duration first.", done: { one: "{n} task submitted.", other: "{n} tasks submitted." },
    active: "Active", waiting: "Scheduled", "none.active": "No task runs.", "none.waiting": "No task waits.", left: "{time} left", over: "about to end", more: { one: "and {n} more", other: "and {n} more" },
    all: "All timed tasks", progress: "How far {id} is",
  },
  de: {
    title: "Aufgaben auf Zeit", note: "Zum Ausprobieren: Jede Aufgabe ist ein Job, der so lange schläft.", id: "ID", ms: "Dauer (ms)", add: "Zeile hinzufügen", submit: "Absenden", remove: "Zeile {n} entfernen",
    hint: "Tab nach der letzten Zeile fügt eine hinzu, Enter sendet ab.", "fault.id": "Eine Aufgabe braucht eine ID.", "fault.ms": "Eine Dauer ist eine ganze Zahl von Millisekunden.", "fault.long": "Eine ID hat höchstens {n} Zeichen.",
    "fault.range": "Eine Aufgabe schläft höchstens {n} ms.", "fault.none": "Tragen Sie zuerst ID und Dauer ein.", done: { one: "{n} Aufgabe abgesendet.", other: "{n} Aufgaben abgesendet." },
    active: "Aktiv", waiting: "Eingeplant", "none.active": "Keine Aufgabe läuft.", "none.waiting": "Keine Aufgabe wartet.", left: "noch {time}", over: "gleich fertig", more: { one: "und {n} weitere", other: "und {n} weitere" },
    all: "Alle Aufgaben auf Zeit", progress: "Wie weit {id} ist",
  },
  sv: {
    title: "Uppgifter på tid", note: "Prova: varje uppgift är ett jobb som sover så länge.", id: "ID", ms: "Längd (ms)", add: "Lägg till rad", submit: "Skicka", remove: "Ta bort rad {n}",
    hint: "Tabb efter sista raden lägger till en, Enter skickar.", "fault.id": "En uppgift behöver ett ID.", "fault.ms": "En längd är ett helt antal millisekunder.", "fault.long": "Ett ID har högst {n} tecken.",
    "fault.range": "En uppgift sover högst {n} ms.", "fault.none": "Fyll i ID och längd först.", done: { one: "{n} uppgift skickad.", other: "{n} uppgifter skickade." },
    active: "Aktiva", waiting: "Inplanerade", "none.active": "Ingen uppgift körs.", "none.waiting": "Ingen uppgift väntar.", left: "{time} kvar", over: "strax klar", more: { one: "och {n} till", other: "och {n} till" },
    all: "Alla uppgifter på tid", progress: "Hur långt {id} har kommit",
  },
});
