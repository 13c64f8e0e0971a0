/** The payload: as a form where its type says what it is made of, as JSON, or as a file. */
import { useId, useRef, useState } from "preact/hooks";
import { Button } from "../../parts/basics.tsx";
import { Icon } from "../../parts/icons.tsx";
import { bytes } from "../../i18n/format.ts";
import { join, split, type Members } from "./raw.ts";
import { toJson, toTyped, type Field } from "./schema.ts";
import { t } from "./texts.ts";

interface FormProps {
  fields: Field[];
  /** JSON. */
  value: string;
  /** What is typed and does not mean a value yet, by field. */
  open: Record<string, string>;
  onChange: (value: string) => void;
  onOpen: (open: Record<string, string>) => void;
  faults: Record<string, string>;
}

export function Form({ fields, value, open, onChange, onOpen, faults }: FormProps) {
  const members = split(value || "{}") ?? [];
  const raw = new Map(members);

  const set = (field: Field, typed: string) => {
    try {
      const json = toJson(field.kind, typed);
      const { [field.name]: _, ...others } = open;
      // Spaces and half a word are the writer's own until they mean something else.
      onOpen(json && toTyped(field.kind, json) === typed ? others : { ...others, [field.name]: typed });
      const rest: Members = members.filter(([name]) => name !== field.name);
      const at = members.findIndex(([name]) => name === field.name);
      if (json) rest.splice(at < 0 ? rest.length : at, 0, [field.name, json]);
      onChange(join(rest));
    } catch {
      onOpen({ ...open, [field.name]: typed });
    }
  };
  return (
    <div class="new-fields">
      {fields.map((field) => {
        const typed = open[field.name] ?? (raw.has(field.name) ? toTyped(field.kind, raw.get(field.name) as string) : "") ?? "";
        const fault = unread(field, typed) ? t(field.kind === "number" ? "bad.number" : "bad", { why: typed }) : faults[field.name];
        return <One key={field.name} field={field} typed={typed} fault={fault} onChange={(text) => set(field, text)} />;
      })}
    </div>
  );
}

function One({ field, typed, fault, onChange }: { field: Field; typed: string; fault: string | undefined; onChange: (text: string) => void }) {
  const name = useId();
  const { kind } = field;
  const common = { id: name, name: `payload.${field.name}`, "aria-invalid": !!fault, "aria-describedby": `${name}-more`, placeholder: field.example };
  const long = kind === "long" || kind === "lines" || kind === "pairs" || kind === "json";
  return (
    <div class={`field ${kind === "long" || kind === "json" ? "new-wide" : ""}`}>
      <label for={name}>
        <code>{field.name}</code> {field.required && <small>{t("required")}</small>}
      </label>
      {kind === "truth" || kind === "choice" ? (
        <select {...common} class="select" value={typed} onChange={(event) => onChange(event.currentTarget.value)}>
          <option value="">{field.required ? "" : t("unset")}</option>
          {kind === "truth" ? <><option value="true">{t("true")}</option><option value="false">{t("false")}</option></> : field.options.map((one) => <option key={one} value={one}>{one}</option>)}
        </select>
      ) : long ? (
        <textarea {...common} class={`area ${kind === "long" ? "new-prose" : ""}`} rows={kind === "long" ? 5 : 2} value={typed} onInput={(event) => onChange(event.currentTarget.value)} />
      ) : (
        <input {...common} class="input" inputMode={kind === "number" ? "decimal" : undefined} autocomplete="off" value={typed} onInput={(event) => onChange(event.currentTarget.value)} />
      )}
      <small id={`${name}-more`}>
        {fault ? <span class="wrong">{fault}</span> : [field.description, kind === "lines" && t("lines"), kind === "pairs" && t("pairs")].filter(Boolean).join(" · ")}
      </small>
    </div>
  );
}

/** Whether all of a payload has its place in the form. */
export function fits(fields: Field[], value: string): boolean {
  const members = split(value.trim() || "{}");
  return !!members && members.every(([name, raw]) => {
    const field = fields.find((one) => one.name === name);
    return !!field && toTyped(field.kind, raw) !== null;
  });
}

/** A file in the place of a payload. */
export function Drop({ file, most, note, onChange }: { file: File | null; most: number | null; note: string; onChange: (file: File | null) => void }) {
  const [over, setOver] = useState(false);
  const input = useRef<HTMLInputElement>(null);
  const large = file && most !== null && file.size > most;
  return (
    <div
      class={`new-drop ${over ? "over" : ""}`}
      onDragOver={(event) => {
        event.preventDefault();
        setOver(true);
      }}
      onDragLeave={() => setOver(false)}
      onDrop={(event) => {
        event.preventDefault();
        setOver(false);
        onChange(event.dataTransfer?.files[0] ?? null);
      }}
    >
      <Icon name="upload" size={24} />
      {file ? (
        <p><b>{file.name}</b> <span class="note">{bytes(file.size)}</span></p>
      ) : (
        <Button onClick={() => input.current?.click()}>{t("drop")}</Button>
      )}
      <input ref={input} class="unseen" type="file" aria-label={t("drop")} tabIndex={-1} onChange={(event) => onChange(event.currentTarget.files?.[0] ?? null)} />
      {large ? <p class="wrong" role="alert">{t("too.large", { name: file.name, size: bytes(file.size), most: bytes(most) })}</p> : <p class="note">{note}</p>}
      {file && <Button small kind="quiet" icon="close" onClick={() => onChange(null)}>{t("remove")}</Button>}
    </div>
  );
}

export function unread(field: Field, typed: string): boolean {
  try {
    toJson(field.kind, typed);
    return false;
  } catch {
    return true;
  }
}
