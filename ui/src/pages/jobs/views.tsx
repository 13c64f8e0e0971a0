/** Saved views: searches with their columns, by name, the same for everybody. */
import { useState } from "preact/hooks";
import { put, remove } from "../../api/http.ts";
import { useQuery } from "../../api/query.ts";
import { act, Button } from "../../parts/basics.tsx";
import { Dialog, sure } from "../../parts/dialog.tsx";
import { Menu } from "../../parts/menu.tsx";
import { go, href } from "../../route.ts";
import { choose, columns } from "./columns.tsx";
import { fromQuery, same, toQuery, type Search } from "./search.ts";
import { t } from "./texts.ts";

interface View {
  name: string;
  page: string;
  query: string;
  columns: string[] | null;
}

export function Views({ search }: { search: Search }) {
  const { data, refresh } = useQuery<{ views: View[] }>("v1/views");
  const [saving, setSaving] = useState(false);
  const mine = (data?.views ?? []).filter((one) => one.page === "jobs");
  const shown = mine.find((one) => same(fromQuery(new URLSearchParams(one.query)), search));
  const open = (view: View) => {
    go(`#/jobs${view.query && `?${view.query}`}`);
    if (view.columns) choose(view.columns);
  };
  const drop = async (name: string) => {
    if (!(await sure({ title: t("view.sure", { name }), text: t("view.text"), act: t("view.delete"), danger: true }))) return;
    if (await act(() => remove(`v1/views/${encodeURIComponent(name)}`), t("view.deleted"))) await refresh();
  };
  return (
    <>
      <Menu
        label={t("views")}
        icon="star"
        items={[
          ...(mine.length ? mine.map((one) => ({ label: one.name, chosen: one === shown, act: () => open(one) })) : [t("view.none")]),
          "line",
          { label: t("view.save"), icon: "new" as const, act: () => setSaving(true) },
          ...(shown ? [{ label: t("view.drop", { name: shown.name }), icon: "trash" as const, danger: true, act: () => void drop(shown.name) }] : []),
        ]}
      >
        {shown ? shown.name : t("views")}
      </Menu>
      {saving && <Save search={search} names={mine.map((one) => one.name)} onClose={() => setSaving(false)} onSaved={refresh} />}
    </>
  );
}

function Save({ search, names, onClose, onSaved }: { search: Search; names: string[]; onClose: () => void; onSaved: () => Promise<void> }) {
  const [name, setName] = useState("");
  const save = async (event: Event) => {
    event.preventDefault();
    const query = href([], toQuery(search)).split("?")[1] ?? "";
    const body = { page: "jobs", query, columns: [...columns.value] };
    if (!(await act(() => put(`v1/views/${encodeURIComponent(name.trim())}`, body), t("view.saved")))) return;
    await onSaved();
    onClose();
  };
  return (
    <Dialog title={t("view.save")} class="narrow" onClose={onClose}>
      <form class="form" onSubmit={save}>
        <label class="field">
          <span>{t("view.name")}</span>
          <input class="input" autofocus required maxLength={100} value={name} onInput={(event) => setName(event.currentTarget.value)} />
          <small>{names.includes(name.trim()) ? t("view.again") : t("view.note")}</small>
        </label>
        <Button kind="primary" type="submit" disabled={!name.trim()}>{t("save")}</Button>
      </form>
    </Dialog>
  );
}
