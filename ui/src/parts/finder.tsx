/** A field that narrows what a page shows; its text is in the address. `/` goes there. */
import { useRef } from "preact/hooks";
import { useCommands } from "../commands.ts";
import { language } from "../i18n/define.ts";
import { place, setQuery } from "../route.ts";
import { Icon } from "./icons.tsx";

interface FinderProps {
  label: string;
  /** Of the shortcut, in the palette and the help sheet. */
  group: string;
  /** The member of the address. */
  name?: string;
  /** Further members that no longer hold when the text changes. */
  reset?: readonly string[];
  /** What could be meant. */
  list?: readonly string[];
  shortcut?: boolean;
}

export function Finder({ label, group, name = "q", reset = [], list, shortcut = true }: FinderProps) {
  const field = useRef<HTMLInputElement>(null);
  const id = `finder-${name}`;
  useCommands(() => (shortcut ? [{ id, label, group, icon: "search", key: "/", act: () => field.current?.select() }] : []), [language.value, shortcut]);
  const change = (value: string) => setQuery({ ...Object.fromEntries(reset.map((one) => [one, null])), [name]: value || null }, { replace: true });
  return (
    <label class="finder-field">
      <Icon name="search" size={16} />
      <input
        ref={field}
        class="input"
        type="search"
        value={place.value.query.get(name) ?? ""}
        placeholder={label}
        aria-label={label}
        autocomplete="off"
        spellcheck={false}
        {...(list && { list: `${id}-list` })}
        onInput={(event) => change(event.currentTarget.value)}
      />
      {list && <datalist id={`${id}-list`}>{list.map((one) => <option key={one} value={one} />)}</datalist>}
    </label>
  );
}
