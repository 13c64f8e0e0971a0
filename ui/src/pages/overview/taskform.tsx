/** Rows of id and duration: Tab behind the last one adds one, Enter submits. */
import { useLayoutEffect, useRef, useState } from "preact/hooks";
import { post } from "../../api/http.ts";
import { useLater, useQuery } from "../../api/query.ts";
import { act, Button } from "../../parts/basics.tsx";
import { blank, type Fault, faultOf, LONGEST, type Row, spec } from "./tasks.ts";
import { k } from "./tasktexts.ts";

const LONGEST_SLEEP = 86_400_000;
let last = 0;
const empty = (): Row => ({ key: ++last, id: "", ms: "" });

interface Types {
  types: { type: string; schema: { properties?: { ms?: { maximum?: number } } } | null }[];
}

export function TaskForm({ done }: { done: () => Promise<unknown> }) {
  const [rows, setRows] = useState<Row[]>(() => [empty()]);
  const [wrong, setWrong] = useState<{ key: number; fault: Fault } | null>(null);
  const [said, say] = useState("");
  const [busy, setBusy] = useState(false);
  const form = useRef<HTMLFormElement>(null);
  const wanted = useRef<{ key: number; field: "id" | "ms" } | null>(null);
  const { data } = useQuery<Types>(useLater() ? "v1/types" : null);
  const most = data?.types.find((one) => one.type === "sleep")?.schema?.properties?.ms?.maximum ?? LONGEST_SLEEP;
  useLayoutEffect(() => {
    const { key, field } = wanted.current ?? {};
    wanted.current = null;
    if (key !== undefined) form.current?.querySelector<HTMLInputElement>(`[data-row="${key}"] [name="${field}"]`)?.focus();
  });

  const add = () => {
    const row = empty();
    wanted.current = { key: row.key, field: "id" };
    setRows((before) => [...before, row]);
  };
  const change = (key: number, part: Partial<Row>) => {
    setRows((before) => before.map((row) => (row.key === key ? { ...row, ...part } : row)));
    if (wrong?.key === key) setWrong(null);
    say("");
  };
  const drop = (key: number) => {
    const at = rows.findIndex((row) => row.key === key);
    const rest = rows.filter((row) => row.key !== key);
    const left = rest.length ? rest : [empty()];
    const near = left[Math.min(at, left.length - 1)];
    if (near) wanted.current = { key: near.key, field: "id" };
    setRows(left);
  };
  const submit = async (event: Event) => {
    event.preventDefault();
    const filled = rows.filter((row) => !blank(row));
    const faulty = filled.find((row) => faultOf(row, most)) ?? (filled.length ? undefined : rows[0]);
    if (faulty) {
      const fault = faultOf(faulty, most) ?? "id";
      wanted.current = { key: faulty.key, field: fault === "ms" || fault === "range" ? "ms" : "id" };
      setWrong({ key: faulty.key, fault });
      say(filled.length ? k(`fault.${fault}`, { n: fault === "long" ? LONGEST : most }) : k("fault.none"));
      return;
    }
    setBusy(true);
    const stored = await act(() => post("v1/jobs", { jobs: filled.map(spec) }));
    setBusy(false);
    if (!stored) return;
    const row = empty();
    wanted.current = { key: row.key, field: "id" };
    setRows([row]);
    say(k("done", { n: filled.length }));
    await done();
  };

  return (
    <form class="overview-form" ref={form} onSubmit={submit} noValidate>
      <div class="overview-rows" role="group" aria-label={k("title")}>
        <div class="overview-row head" aria-hidden="true"><span>{k("id")}</span><span>{k("ms")}</span></div>
        {rows.map((row, place) => {
          const fault = wrong?.key === row.key ? wrong.fault : null;
          const long = fault === "ms" || fault === "range";
          return (
            <div class="overview-row" key={row.key} data-row={row.key}>
              <input class="input" name="id" aria-label={k("id")} autocomplete="off" spellcheck={false} value={row.id} aria-invalid={(fault && !long) || undefined} onInput={(event) => change(row.key, { id: event.currentTarget.value })} />
              <input
                class="input number"
                name="ms"
                aria-label={k("ms")}
                inputMode="numeric"
                autocomplete="off"
                value={row.ms}
                aria-invalid={long || undefined}
                onInput={(event) => change(row.key, { ms: event.currentTarget.value })}
                onKeyDown={(event) => {
                  // An empty last row lets the focus go on: nobody is caught in here.
                  if (event.key !== "Tab" || event.shiftKey || place < rows.length - 1 || blank(row)) return;
                  event.preventDefault();
                  add();
                }}
              />
              <Button kind="quiet" icon="close" aria-label={k("remove", { n: place + 1 })} title={k("remove", { n: place + 1 })} onClick={() => drop(row.key)} />
            </div>
          );
        })}
      </div>
      <div class="overview-submit">
        <Button icon="new" onClick={add}>{k("add")}</Button>
        <Button kind="primary" type="submit" busy={busy}>{k("submit")}</Button>
        <p class={wrong ? "wrong" : "note"} role="status">{said || k("hint")}</p>
      </div>
    </form>
  );
}
