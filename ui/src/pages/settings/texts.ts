import { define } from "../../i18n/define.ts";

export const t = define({
  en: {
    title: "Settings", note: "What this server runs with. It is changed where it comes from, and takes effect with the next start.",
    server: "Server", version: "Version", started: "Started", store: "Store", token: "Token", on: "required", off: "none; whoever gets here may do all",
    configuration: "Configuration", filter: "Filter by name or value", changed: "Changed ({n})", everything: "All ({n})",
    key: "Setting", value: "Value", origin: "From", default: "Default", same: "as by default", "from.default": "default", "from.file": "file",
    "from.environment": "environment", "from.flag": "flag", empty: "nothing", nothing: "No setting fits.",
    plain: "Everything is as it comes. Settings are given as flags, variables (ROTA_…) or in a file; rota check lists them.",
    look: "This page", forget: "Forget the token in this tab", views: "Saved views", "views.none": "None yet. Save one from the page of jobs, and everybody who opens this server sees it.",
    open: "Open", "view.delete": "Delete the view {name}", "view.sure": "Delete this saved view?", "view.text": "“{name}” goes away for everybody.", deleted: "Deleted",
    colours: "Colours", language: "Language", times: "Times", zone: "Zone", system: "System", light: "Light", dark: "Dark", relative: "Relative", absolute: "Exact", local: "Local", utc: "UTC",
  },
  de: {
    title: "Einstellungen", note: "Womit dieser Server läuft. Geändert wird es dort, wo es herkommt; es gilt ab dem nächsten Start.",
    server: "Server", version: "Version", started: "Gestartet", store: "Speicher", token: "Token", on: "verlangt", off: "keines; wer herkommt, darf alles",
    configuration: "Konfiguration", filter: "Nach Name oder Wert filtern", changed: "Geändert ({n})", everything: "Alle ({n})",
    key: "Einstellung", value: "Wert", origin: "Aus", default: "Vorgabe", same: "wie vorgegeben", "from.default": "Vorgabe", "from.file": "Datei",
    "from.environment": "Umgebung", "from.flag": "Schalter", empty: "nichts", nothing: "Keine Einstellung passt.",
    plain: "Alles ist wie vorgegeben. Einstellungen kommen aus Schaltern, Variablen (ROTA_…) oder einer Datei; rota check zählt sie auf.",
    look: "Diese Seite", forget: "Token in diesem Tab vergessen", views: "Gespeicherte Ansichten", "views.none": "Noch keine. Auf der Seite der Jobs gespeichert, sehen sie alle, die diesen Server öffnen.",
    open: "Öffnen", "view.delete": "Ansicht {name} löschen", "view.sure": "Diese Ansicht löschen?", "view.text": "„{name}“ verschwindet für alle.", deleted: "Gelöscht",
    colours: "Farben", language: "Sprache", times: "Zeiten", zone: "Zone", system: "System", light: "Hell", dark: "Dunkel", relative: "Relativ", absolute: "Genau", local: "Lokal", utc: "UTC",
  },
  sv: {
    title: "Inställningar", note: "Det som servern körs med. Det ändras där det kommer ifrån och gäller från nästa start.",
    server: "Server", version: "Version", started: "Startad", store: "Lager", token: "Token", on: "krävs", off: "ingen; den som når hit får allt",
    configuration: "Konfiguration", filter: "Filtrera på namn eller värde", changed: "Ändrade ({n})", everything: "Alla ({n})",
    key: "Inställning", value: "Värde", origin: "Från", default: "Standard", same: "som standard", "from.default": "standard", "from.file": "fil",
    "from.environment": "miljö", "from.flag": "flagga", empty: "inget", nothing: "Ingen inställning passar.",
    plain: "Allt är som standard. Inställningar ges som flaggor, variabler (ROTA_…) eller i en fil; rota check räknar upp dem.",
    look: "Den här sidan", forget: "Glöm token i den här fliken", views: "Sparade vyer", "views.none": "Inga ännu. Spara en från jobbsidan, så ser alla som öppnar servern den.",
    open: "Öppna", "view.delete": "Ta bort vyn {name}", "view.sure": "Ta bort den sparade vyn?", "view.text": "”{name}” försvinner för alla.", deleted: "Borttagen",
    colours: "Färger", language: "Språk", times: "Tider", zone: "Zon", system: "System", light: "Ljust", dark: "Mörkt", relative: "Relativa", absolute: "Exakta", local: "Lokal", utc: "UTC",
  },
});
