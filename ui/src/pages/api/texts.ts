import { define } from "../../i18n/define.ts";

export const t = define({
  en: {
    title: "API", note: "All that this page does, programs can do, too.", try: "Try requests", raw: "OpenAPI 3.1",
    find: "Find a request, a parameter or a word", nothing: "No request fits.", parameters: "Parameters", body: "Body", answers: "Answers",
    required: "required", command: "As a command", count: { one: "{n} request", other: "{n} requests" },
  },
  de: {
    title: "API", note: "Alles, was diese Seite tut, können auch Programme.", try: "Anfragen probieren", raw: "OpenAPI 3.1",
    find: "Eine Anfrage, einen Parameter oder ein Wort finden", nothing: "Keine Anfrage passt.", parameters: "Parameter", body: "Rumpf", answers: "Antworten",
    required: "nötig", command: "Als Befehl", count: { one: "{n} Anfrage", other: "{n} Anfragen" },
  },
  sv: {
    title: "API", note: "Allt som den här sidan gör kan program också göra.", try: "Prova förfrågningar", raw: "OpenAPI 3.1",
    find: "Hitta en förfrågan, en parameter eller ett ord", nothing: "Ingen förfrågan passar.", parameters: "Parametrar", body: "Kropp", answers: "Svar",
    required: "krävs", command: "Som kommando", count: { one: "{n} förfrågan", other: "{n} förfrågningar" },
  },
});
