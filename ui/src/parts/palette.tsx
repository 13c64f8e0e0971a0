/** Everything by its name (Ctrl/Cmd-K), and the sheet of keys (?). */
import { useEffect, useMemo, useRef, useState } from "preact/hooks";
import { commands, helpOpen, paletteOpen, type Command } from "../commands.ts";
import { go, href } from "../route.ts";
import { Dialog } from "./dialog.tsx";
import { Icon } from "./icons.tsx";
import { p as t } from "./texts.ts";

const ID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i;

export function Palette() {
  return paletteOpen.value ? <Open /> : null;
}

function Open() {
  const [text, setText] = useState("");
  const [at, setAt] = useState(0);
  const list = useRef<HTMLUListElement>(null);
  const all = commands.value;
  const found = useMemo(() => matching(all, text.trim()), [all, text]);
  const chosen = Math.min(at, found.length - 1);
  const close = () => (paletteOpen.value = false);
  const run = (one: Command | undefined) => {
    if (!one) return;
    close();
    one.act();
  };
  useEffect(() => list.current?.children[chosen]?.scrollIntoView({ block: "nearest" }), [chosen]);

  const onKeyDown = (event: KeyboardEvent) => {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (step) {
      event.preventDefault();
      setAt((chosen + step + found.length) % Math.max(1, found.length));
    } else if (event.key === "Enter") {
      event.preventDefault();
      run(found[chosen]);
    }
  };
  return (
    <Dialog title={t("title")} class="palette" onClose={close}>
      <input
        class="input"
        autofocus
        value={text}
        placeholder={t("hint")}
        aria-label={t("hint")}
        role="combobox"
        aria-expanded="true"
        aria-controls="palette-list"
        aria-activedescendant={found.length ? `palette-${chosen}` : undefined}
        autocomplete="off"
        spellcheck={false}
        onInput={(event) => {
          setText(event.currentTarget.value);
          setAt(0);
        }}
        onKeyDown={onKeyDown}
      />
      <ul ref={list} id="palette-list" role="listbox" aria-label={t("title")}>
        {found.map((one, place) => (
          <li
            key={one.id}
            id={`palette-${place}`}
            role="option"
            aria-selected={place === chosen}
            onPointerMove={() => setAt(place)}
            onClick={() => run(one)}
          >
            {one.icon && <Icon name={one.icon} size={16} />}
            <span>{one.label}</span>
            <small>{one.group}</small>
            {one.key && <Keys keys={one.key} />}
          </li>
        ))}
      </ul>
      {!found.length && <p class="note">{t("nothing")}</p>}
    </Dialog>
  );
}

export function Help() {
  if (!helpOpen.value) return null;
  const groups = new Map<string, Command[]>();
  for (const one of commands.value) if (one.key) groups.set(one.group, [...(groups.get(one.group) ?? []), one]);
  return (
    <Dialog title={t("help")} class="help" onClose={() => (helpOpen.value = false)}>
      <section>
        <h3>{t("anywhere")}</h3>
        <dl>
          <div><dt>{t("palette")}</dt><dd><kbd>Ctrl</kbd> <kbd>K</kbd></dd></div>
          <div><dt>{t("keys")}</dt><dd><kbd>?</kbd></dd></div>
          <div><dt>{t("escape")}</dt><dd><kbd>Esc</kbd></dd></div>
        </dl>
      </section>
      {[...groups].map(([group, some]) => (
        <section key={group}>
          <h3>{group}</h3>
          <dl>
            {some.map((one) => (
              <div key={one.id}><dt>{one.label}</dt><dd><Keys keys={one.key ?? ""} /></dd></div>
            ))}
          </dl>
        </section>
      ))}
    </Dialog>
  );
}

function Keys({ keys }: { keys: string }) {
  return <span class="keys">{keys.split(" ").map((key, place) => <kbd key={place}>{key}</kbd>)}</span>;
}

function matching(all: readonly Command[], text: string): Command[] {
  const words = text.toLowerCase().split(/\s+/).filter(Boolean);
  const fits = (one: Command) => {
    const said = `${one.label} ${one.group} ${one.words ?? ""}`.toLowerCase();
    return words.every((word) => said.includes(word));
  };
  const found = all.filter(fits);
  if (!text) return found;
  const to = (id: string, label: string, place: string): Command => ({ id, label, group: "", icon: "search", act: () => go(place) });
  if (ID.test(text)) return [to("#job", t("job", { text }), href(["job", text])), ...found];
  return [...found, to("#search", t("search", { text }), href(["jobs"], { q: text }))];
}
