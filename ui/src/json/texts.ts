import { define } from "../i18n/define.ts";

export const t = define({
  en: {
    items: { one: "{n} item", other: "{n} items" }, members: { one: "{n} member", other: "{n} members" }, more: "Show {n} of {of} more", open: "Open", shut: "Close",
    expand: "Open all", collapse: "Close all", raw: "As text", tree: "As a tree", format: "Format", path: "Copy path", value: "Copy value", same: "Jobs with the same", long: "Show all of it ({n} characters)",
    "wrong.end": "Line {line}: it ends before it is complete.", "wrong.sign": "Line {line}, column {column}: “{sign}” does not belong here.",
    "wrong.text": "Line {line}, column {column}: a text in double quotes belongs here.", "wrong.number": "Line {line}, column {column}: this is no number.",
    "wrong.deep": "Line {line}: nested too deeply.", valid: "Valid JSON", empty: "Nothing; it will be null.",
  },
  de: {
    items: { one: "{n} Element", other: "{n} Elemente" }, members: { one: "{n} Mitglied", other: "{n} Mitglieder" }, more: "{n} von {of} weiteren zeigen", open: "Öffnen", shut: "Schließen",
    expand: "Alles öffnen", collapse: "Alles schließen", raw: "Als Text", tree: "Als Baum", format: "Ordnen", path: "Pfad kopieren", value: "Wert kopieren", same: "Jobs mit demselben", long: "Alles zeigen ({n} Zeichen)",
    "wrong.end": "Zeile {line}: Es endet, bevor es vollständig ist.", "wrong.sign": "Zeile {line}, Spalte {column}: „{sign}“ gehört nicht hierher.",
    "wrong.text": "Zeile {line}, Spalte {column}: Hier gehört ein Text in doppelten Anführungszeichen hin.", "wrong.number": "Zeile {line}, Spalte {column}: Das ist keine Zahl.",
    "wrong.deep": "Zeile {line}: zu tief verschachtelt.", valid: "Gültiges JSON", empty: "Nichts; es wird null.",
  },
  sv: {
    items: { one: "{n} element", other: "{n} element" }, members: { one: "{n} medlem", other: "{n} medlemmar" }, more: "Visa {n} av {of} till", open: "Öppna", shut: "Stäng",
    expand: "Öppna allt", collapse: "Stäng allt", raw: "Som text", tree: "Som träd", format: "Snygga till", path: "Kopiera sökväg", value: "Kopiera värde", same: "Jobb med samma", long: "Visa allt ({n} tecken)",
    "wrong.end": "Rad {line}: det slutar innan det är färdigt.", "wrong.sign": "Rad {line}, kolumn {column}: ”{sign}” hör inte hemma här.",
    "wrong.text": "Rad {line}, kolumn {column}: här ska det stå en text inom dubbla citattecken.", "wrong.number": "Rad {line}, kolumn {column}: det här är inget tal.",
    "wrong.deep": "Rad {line}: för djupt nästlat.", valid: "Giltig JSON", empty: "Ingenting; det blir null.",
  },
});
