/** What a job may have besides type, queue and payload. */
import type { ComponentChildren } from "preact";
import type { Option } from "./request.ts";
import { t } from "./texts.ts";

interface OptionsProps {
  values: Record<Option, string>;
  faults: Record<string, string>;
  onChange: (name: Option, value: string) => void;
}

export function Options({ values, faults, onChange }: OptionsProps) {
  const given = Object.values(values).some(Boolean);
  const field = (name: Option, label: string, more: Record<string, unknown> = {}, note?: ComponentChildren) => (
    <label class="field" key={name}>
      <span>{label}</span>
      <input class="input" name={name} autocomplete="off" value={values[name]} aria-invalid={!!faults[name]} onInput={(event) => onChange(name, event.currentTarget.value)} {...more} />
      <small>{faults[name] ? <span class="wrong">{faults[name]}</span> : note}</small>
    </label>
  );
  const number = { inputMode: "decimal" };
  return (
    <details class="new-options" open={given || Object.keys(faults).some((name) => name in values)}>
      <summary>{t("options")}</summary>
      <div class="new-fields">
        {field("delay", t("delay"), number)}
        {field("run_at", t("run.at"), { type: "datetime-local", step: 1 })}
        {field("priority", t("priority"), { ...number, placeholder: "0" })}
        {field("max_attempts", t("attempts"), { ...number, placeholder: "10" })}
        {field("timeout", t("timeout"), number)}
        <label class="field">
          <span>{t("retry")}</span>
          <select class="select" name="retry" value={values.retry} onChange={(event) => onChange("retry", event.currentTarget.value)}>
            <option value="">{t("retry.default")}</option>
            <option value="none">{t("retry.none")}</option>
            <option value="fixed">{t("retry.fixed")}</option>
          </select>
          <small>{faults["retry"] && <span class="wrong">{faults["retry"]}</span>}</small>
        </label>
        {values.retry === "fixed" && field("retry_seconds", t("retry.seconds"), number)}
        {field("tags", t("tags"))}
        {field("unique_key", t("unique"), {}, t("unique.hint"))}
        {field("idempotency_key", t("key"))}
        {field("expires_at", t("expires"), { type: "datetime-local", step: 1 })}
        {field("retention", t("retention"), { ...number, placeholder: "7" })}
        <label class="field new-wide">
          <span>{t("headers")}</span>
          <textarea class="area" name="headers" rows={2} value={values.headers} onInput={(event) => onChange("headers", event.currentTarget.value)} />
          <small>{faults["headers"] && <span class="wrong">{faults["headers"]}</span>}</small>
        </label>
      </div>
    </details>
  );
}
