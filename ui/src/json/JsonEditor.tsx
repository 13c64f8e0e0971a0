/** A place to write JSON. */
export function JsonEditor({ value, label, onChange }: { value: string; label: string; onChange: (value: string) => void }) {
  return <textarea class="area" rows={12} name="payload" aria-label={label} spellcheck={false} value={value} onInput={(event) => onChange(event.currentTarget.value)} />;
}
