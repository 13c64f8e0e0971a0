/** A place to write JSON: numbered lines, and a word on what is wrong and where. Nothing in it changes what is
 * written, but the button that puts it in order, and that keeps every digit. */
import { useMemo, useRef } from "preact/hooks";
import { Button } from "../parts/basics.tsx";
import { NotJson, parse, print } from "./parse.ts";
import { t } from "./texts.ts";
import "./json.css";

interface EditorProps {
  value: string;
  label: string;
  onChange: (value: string) => void;
  rows?: number;
  autofocus?: boolean;
}

export function JsonEditor({ value, label, onChange, rows = 12, autofocus = false }: EditorProps) {
  const gutter = useRef<HTMLDivElement>(null);
  const wrong = useMemo(() => fault(value), [value]);
  const lines = value.split("\n").length;
  return (
    <div class="editor">
      <div class={`editor-box ${wrong ? "wrong" : ""}`}>
        <div class="editor-gutter" aria-hidden="true" ref={gutter}>
          {Array.from({ length: lines }, (_, line) => <i key={line} class={wrong?.line === line + 1 ? "wrong" : undefined}>{line + 1}</i>)}
        </div>
        <textarea
          name="payload"
          rows={Math.max(rows, Math.min(lines + 1, 30))}
          wrap="off"
          autofocus={autofocus}
          spellcheck={false}
          autocapitalize="off"
          aria-label={label}
          aria-invalid={!!wrong}
          value={value}
          onInput={(event) => onChange(event.currentTarget.value)}
          onScroll={(event) => gutter.current && (gutter.current.scrollTop = event.currentTarget.scrollTop)}
        />
      </div>
      <div class="editor-foot">
        <p role="status" class={wrong ? "wrong" : "note"}>{wrong ? say(wrong) : t(value.trim() ? "valid" : "empty")}</p>
        <Button small kind="quiet" disabled={!!wrong || !value.trim()} onClick={() => onChange(print(parse(value), 2))}>{t("format")}</Button>
      </div>
    </div>
  );
}

/** What is wrong with a text; nothing when it is empty. */
export function fault(text: string): NotJson | null {
  if (!text.trim()) return null;
  try {
    parse(text);
    return null;
  } catch (error) {
    if (error instanceof NotJson) return error;
    throw error;
  }
}

function say({ what, line, column, sign }: NotJson): string {
  return t(`wrong.${what}`, { line, column, sign });
}
