/** Short messages that go by themselves; errors stay until they are sent away. */
import { signal } from "@preact/signals";
import { Button } from "./basics.tsx";
import { Icon } from "./icons.tsx";
import { t } from "./texts.ts";

interface Toast {
  id: number;
  kind: "done" | "error";
  text: string;
}

const shown = signal<Toast[]>([]);
let last = 0;

export function told(kind: Toast["kind"], text: string): void {
  const id = ++last;
  shown.value = [...shown.value.slice(-3), { id, kind, text }];
  if (kind === "done") setTimeout(() => dismiss(id), 5000);
}

function dismiss(id: number): void {
  shown.value = shown.value.filter((one) => one.id !== id);
}

export function Toasts() {
  return (
    <div class="toasts" role="status" aria-live="polite">
      {shown.value.map(({ id, kind, text }) => (
        <div key={id} class={`toast ${kind}`} role={kind === "error" ? "alert" : undefined}>
          <Icon name={kind === "done" ? "check" : "alert"} />
          <p>{text}</p>
          <Button kind="quiet" small icon="close" aria-label={t("dismiss")} onClick={() => dismiss(id)} />
        </div>
      ))}
    </div>
  );
}
