/** A button with a list of choices. Arrow keys walk, Escape closes. */
import type { ComponentChildren } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import { Button } from "./basics.tsx";
import { Icon, type IconName } from "./icons.tsx";

export interface Item {
  label: string;
  icon?: IconName;
  /** A choice among others: whether it is the one. */
  chosen?: boolean;
  danger?: boolean;
  disabled?: boolean;
  act: () => void;
  /** The menu stays open: for choices of which many may hold. */
  stays?: boolean;
}

interface MenuProps {
  label: string;
  icon?: IconName;
  items: readonly (Item | "line" | string)[];
  children?: ComponentChildren;
  kind?: "plain" | "quiet";
  small?: boolean;
}

export function Menu({ label, icon, items, children, kind = "plain", small = false }: MenuProps) {
  const [open, setOpen] = useState(false);
  const box = useRef<HTMLDivElement>(null);

  useEffect(() => {
    if (!open) return;
    choices(box.current)[0]?.focus();
    const outside = (event: Event) => {
      if (!box.current?.contains(event.target as Node)) setOpen(false);
    };
    document.addEventListener("pointerdown", outside);
    return () => document.removeEventListener("pointerdown", outside);
  }, [open]);

  const leave = () => {
    setOpen(false);
    box.current?.querySelector("button")?.focus();
  };
  const onKeyDown = (event: KeyboardEvent) => {
    if (!open) return;
    const all = choices(box.current);
    const at = all.indexOf(document.activeElement as HTMLButtonElement);
    const next = { ArrowDown: at + 1, ArrowUp: at - 1, Home: 0, End: all.length - 1 }[event.key];
    if (next !== undefined) {
      event.preventDefault();
      all[(next + all.length) % all.length]?.focus();
    } else if (event.key === "Escape") {
      event.preventDefault();
      event.stopPropagation();
      leave();
    } else if (event.key === "Tab") setOpen(false);
  };

  return (
    <div class="menu" ref={box} onKeyDown={onKeyDown}>
      <Button
        kind={kind}
        small={small}
        {...(icon && { icon })}
        aria-haspopup="menu"
        aria-expanded={open}
        aria-label={children ? undefined : label}
        title={label}
        onClick={() => setOpen(!open)}
      >
        {children}
      </Button>
      {open && (
        <div class="menu-list" role="menu" aria-label={label}>
          {items.map((item, place) =>
            item === "line" ? (
              <hr key={place} />
            ) : typeof item === "string" ? (
              <p key={place} class="menu-head" role="presentation">{item}</p>
            ) : (
              <button
                key={place}
                type="button"
                role={item.chosen === undefined ? "menuitem" : "menuitemcheckbox"}
                aria-checked={item.chosen}
                class={item.danger ? "danger" : undefined}
                disabled={item.disabled}
                onClick={() => {
                  if (!item.stays) leave();
                  item.act();
                }}
              >
                {item.chosen !== undefined ? <span class="tick">{item.chosen && <Icon name="check" size={16} />}</span> : item.icon && <Icon name={item.icon} size={16} />}
                {item.label}
              </button>
            ),
          )}
        </div>
      )}
    </div>
  );
}

function choices(box: HTMLElement | null): HTMLButtonElement[] {
  return [...(box?.querySelectorAll<HTMLButtonElement>(".menu-list button:not(:disabled)") ?? [])];
}
