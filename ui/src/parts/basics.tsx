/** Small things that every page is made of. */
import type { ButtonHTMLAttributes, ComponentChildren } from "preact";
import { useState } from "preact/hooks";
import { Problem } from "../api/http.ts";
import type { State as JobState } from "../api/types.ts";
import { absolute, milliseconds, now, relative, times, zoneName } from "../i18n/format.ts";
import { Icon, type IconName } from "./icons.tsx";
import { t } from "./texts.ts";
import { told } from "./toasts.tsx";

type ButtonProps = Omit<ButtonHTMLAttributes, "icon" | "type" | "class" | "disabled"> & {
  icon?: IconName;
  kind?: "plain" | "primary" | "danger" | "quiet";
  small?: boolean;
  busy?: boolean;
  disabled?: boolean;
  type?: "button" | "submit";
  class?: string;
};

export function Button({ icon, kind = "plain", small, busy, children, class: more, type = "button", disabled, ...rest }: ButtonProps) {
  const names = ["button", kind, small && "small", !children && "bare", more].filter(Boolean).join(" ");
  return (
    <button {...rest} type={type} class={names} disabled={disabled || busy} aria-busy={busy || undefined}>
      {icon && <Icon name={icon} size={small ? 16 : 18} />}
      {children && <span>{children}</span>}
    </button>
  );
}

/** A part of a page with a heading, and what one does there. */
export function Panel({ title, aside, children, class: more, id }: { title?: ComponentChildren; aside?: ComponentChildren; children?: ComponentChildren; class?: string; id?: string }) {
  return (
    <section class={`panel ${more ?? ""}`} id={id}>
      {(title || aside) && (
        <header class="panel-head">
          {title && <h2>{title}</h2>}
          {aside && <div class="panel-aside">{aside}</div>}
        </header>
      )}
      {children}
    </section>
  );
}

/** The head of a page: what it is, and its acts. */
export function Head({ title, note, children }: { title: ComponentChildren; note?: ComponentChildren; children?: ComponentChildren }) {
  return (
    <header class="page-head">
      <div>
        <h1>{title}</h1>
        {note && <p class="note">{note}</p>}
      </div>
      {children && <div class="acts">{children}</div>}
    </header>
  );
}

/** The state of a job: colour, form and word, so that no one of them has to be seen. */
export function State({ state }: { state: JobState }) {
  return (
    <span class={`state ${state}`}>
      <i aria-hidden="true" />
      {t(`state.${state}`)}
    </span>
  );
}

/** A time, as the reader wants times; the other way is the title. */
export function When({ at, fine = false }: { at: string | number | null | undefined; fine?: boolean }) {
  if (at === null || at === undefined) return <span class="nothing">–</span>;
  const exact = `${absolute(at, { fine: true })} ${zoneName.value}`;
  const near = times.value === "relative" && !fine;
  return (
    <time dateTime={new Date(milliseconds(at)).toISOString()} title={near ? exact : relative(at, now.value)}>
      {near ? relative(at) : absolute(at, { fine })}
    </time>
  );
}

/** Nothing is here, and what to do about it. */
export function Empty({ icon = "info", title, children }: { icon?: IconName; title: ComponentChildren; children?: ComponentChildren }) {
  return (
    <div class="empty">
      <Icon name={icon} size={28} />
      <p class="empty-title">{title}</p>
      {children && <div class="empty-more">{children}</div>}
    </div>
  );
}

/** What went wrong, in the server's words, and the way on. */
export function Fault({ error, retry }: { error: Problem; retry?: (() => void) | undefined }) {
  return (
    <div class="fault" role="alert">
      <Icon name="alert" />
      <div>
        <p>{error.code === "unreachable" ? t("fault.unreachable") : error.message}</p>
        {error.field && <p class="note"><code>{error.field}</code></p>}
      </div>
      {retry && <Button small onClick={retry}>{t("retry")}</Button>}
    </div>
  );
}

/** What stands there until the first answer comes, as tall as what will. */
export function Waiting({ rows = 3 }: { rows?: number }) {
  return (
    <div class="waiting" role="status" aria-label={t("loading")}>
      {Array.from({ length: rows }, (_, row) => <i key={row} />)}
    </div>
  );
}

/** 0 to 1; null while nobody knows. */
export function Bar({ value, label }: { value: number | null; label: string }) {
  return <progress class="bar" aria-label={label} {...(value !== null && { value, max: 1 })} />;
}

/** `text` may be made when it is wanted. */
export function Copy({ text, label }: { text: string | (() => string); label?: string }) {
  const [done, setDone] = useState(false);
  const act = async () => {
    await copy(typeof text === "string" ? text : text());
    setDone(true);
    setTimeout(() => setDone(false), 1500);
  };
  return (
    <Button kind="quiet" small icon={done ? "check" : "copy"} onClick={act} title={t("copy")} aria-label={label ? `${t("copy")}: ${label}` : t("copy")} />
  );
}

/** Over plain HTTP browsers have no clipboard for us, but the older way. */
export async function copy(text: string): Promise<void> {
  if (navigator.clipboard) {
    try {
      return await navigator.clipboard.writeText(text);
    } catch {
      // Refused; the older way asks nobody.
    }
  }
  const area = document.createElement("textarea");
  area.value = text;
  area.className = "unseen";
  document.body.append(area);
  area.select();
  document.execCommand("copy");
  area.remove();
}

/** One of a few, side by side. */
export function Choice<T extends string>({ label, value, options, onChange }: { label: string; value: T; options: readonly (readonly [T, ComponentChildren])[]; onChange: (value: T) => void }) {
  return (
    <div class="choice" role="group" aria-label={label}>
      {options.map(([one, shown]) => (
        <button key={one} type="button" aria-pressed={one === value} onClick={() => onChange(one)}>{shown}</button>
      ))}
    </div>
  );
}

/** An act of the reader: what fails is told, what works is said. Answers whether it did. */
export async function act(doing: () => Promise<unknown>, done?: string): Promise<boolean> {
  try {
    await doing();
  } catch (error) {
    told("error", error instanceof Problem ? (error.code === "unreachable" ? t("fault.unreachable") : error.message) : String(error));
    return false;
  }
  if (done) told("done", done);
  return true;
}
