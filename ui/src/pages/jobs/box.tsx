/** The search box: text with qualifiers, and what could come next. */
import { useEffect, useId, useRef, useState } from "preact/hooks";
import { Button, State } from "../../parts/basics.tsx";
import { Icon } from "../../parts/icons.tsx";
import { isState, parse, print, QUALIFIERS, type Issue, type Search } from "./search.ts";
import { useSuggestions, type Suggestion } from "./suggest.ts";
import { t } from "./texts.ts";

interface BoxProps {
  search: Search;
  /** What is wrong with the search of the address. */
  issues: readonly Issue[];
  onSearch: (search: Search) => void;
}

export const BOX = "jobs-search";

export function Box({ search, issues: given, onSearch }: BoxProps) {
  const said = print(search);
  const [text, setText] = useState(said);
  const [caret, setCaret] = useState(said.length);
  const [open, setOpen] = useState(false);
  const [at, setAt] = useState(-1);
  const [wrong, setWrong] = useState<readonly Issue[]>([]);
  const input = useRef<HTMLInputElement>(null);
  const list = useRef<HTMLUListElement>(null);
  const name = useId();
  const { some, place } = useSuggestions(text, caret, open);
  const chosen = at >= 0 && at < some.length ? at : -1;
  const shown = open && some.length > 0;

  useEffect(() => {
    setWrong([]);
    // What was typed stays as it was typed, as long as it means the same.
    if (print(parse(text).search) === said) return;
    setText(said);
    setCaret(said.length);
  }, [said]);
  useEffect(() => {
    if (chosen >= 0) list.current?.children[chosen]?.scrollIntoView({ block: "nearest" });
  }, [chosen]);

  const run = (from = text) => {
    const { search: wanted, issues } = parse(from);
    setWrong(issues);
    if (issues.length) return;
    if (!from) setText("");
    onSearch(wanted);
  };
  const take = (one: Suggestion) => {
    const rest = text.slice(place.end);
    const begun = `${text.slice(0, place.start)}${one.insert}${one.goes || rest.startsWith(" ") ? "" : " "}`;
    const whole = begun + rest;
    setText(whole);
    setCaret(begun.length);
    setAt(-1);
    if (!one.goes) {
      setOpen(false);
      run(whole);
    }
    // The cursor goes behind what was put in, once it stands there.
    requestAnimationFrame(() => {
      input.current?.focus();
      if (one.goes) input.current?.setSelectionRange(begun.length, begun.length);
    });
  };
  const onKeyDown = (event: KeyboardEvent) => {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (step) {
      event.preventDefault();
      if (!open) setOpen(true);
      else if (some.length) setAt(chosen < 0 && step < 0 ? some.length - 1 : (chosen + step + some.length) % some.length);
    } else if ((event.key === "Enter" || event.key === "Tab") && shown && chosen >= 0) {
      event.preventDefault();
      take(some[chosen] as Suggestion);
    } else if (event.key === "Enter") {
      event.preventDefault();
      setOpen(false);
      run();
    } else if (event.key === "Escape" && shown) {
      event.preventDefault();
      setOpen(false);
    } else if (event.key === "Escape") input.current?.blur();
  };
  const moved = () => setCaret(input.current?.selectionStart ?? text.length);
  const issues = wrong.length ? wrong : text === said ? given : [];
  return (
    <div class="jobs-search">
      <div class="jobs-box">
        <Icon name="search" size={18} />
        <input
          ref={input}
          id={BOX}
          class="input"
          type="text"
          role="combobox"
          aria-label={t("search")}
          aria-expanded={shown}
          aria-controls={`${name}-list`}
          aria-autocomplete="list"
          aria-activedescendant={shown && chosen >= 0 ? `${name}-${chosen}` : undefined}
          aria-invalid={issues.length > 0}
          aria-describedby={issues.length ? `${name}-wrong` : undefined}
          autocomplete="off"
          autocapitalize="off"
          spellcheck={false}
          enterkeyhint="search"
          placeholder={t("hint")}
          value={text}
          onInput={(event) => {
            setText(event.currentTarget.value);
            moved();
            setAt(-1);
            setOpen(true);
            setWrong([]);
          }}
          onKeyDown={onKeyDown}
          onKeyUp={moved}
          onClick={() => {
            moved();
            setOpen(true);
          }}
          onBlur={() => setOpen(false)}
        />
        {text ? <Button kind="quiet" small icon="close" aria-label={t("clear")} title={t("clear")} onClick={() => run("")} /> : <kbd aria-hidden="true">/</kbd>}
        <ul ref={list} id={`${name}-list`} class="jobs-suggestions" role="listbox" aria-label={t("suggestions")} hidden={!shown}>
          {some.map((one, n) => (
            <li
              key={one.insert}
              id={`${name}-${n}`}
              role="option"
              aria-selected={n === chosen}
              onPointerMove={() => n !== chosen && setAt(n)}
              onPointerDown={(event) => {
                // Else the box would lose the focus, and the list be gone before the click.
                event.preventDefault();
              }}
              onClick={() => take(one)}
            >
              {one.field === "state" && isState(one.label) ? <State state={one.label} /> : <code>{one.label}</code>}
              <small>{one.field === null ? t(`q.${one.label.replace(/[.:…]+$/, "")}` as Qualified) : one.jobs === null ? "" : t("count", { n: one.jobs })}</small>
            </li>
          ))}
        </ul>
      </div>
      {issues.length > 0 && (
        <p class="wrong" id={`${name}-wrong`} role="alert">
          {issues.map((one) => t(`wrong.${one.kind}`, { name: one.name, value: one.value ?? "", known: QUALIFIERS.join(", ") })).join(" ")}
        </p>
      )}
    </div>
  );
}

type Qualified = `q.${Exclude<(typeof QUALIFIERS)[number], "q">}`;
