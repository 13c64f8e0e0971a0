/** What can be done by name (palette) and by key (shortcuts). Parts of the page add theirs while they are shown. */
import { computed, signal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import type { IconName } from "./parts/icons.tsx";

export interface Command {
  id: string;
  label: string;
  icon?: IconName;
  /** A key (`r`), or two one after the other (`g j`). */
  key?: string;
  /** Further words by which it is found. */
  words?: string;
  /** A heading for the palette and the help sheet. */
  group: string;
  act: () => void;
}

const parts = signal<ReadonlyMap<object, readonly Command[]>>(new Map());
export const commands = computed(() => [...parts.value.values()].flat());
export const paletteOpen = signal(false);
export const helpOpen = signal(false);

/** Have these commands while the part is shown. `what` may change with every drawing. */
export function useCommands(what: () => readonly Command[], inputs: readonly unknown[]): void {
  useEffect(() => {
    const mine = {};
    parts.value = new Map(parts.peek()).set(mine, what());
    return () => {
      const rest = new Map(parts.peek());
      rest.delete(mine);
      parts.value = rest;
    };
  }, [...inputs]);
}

let first = "";
let forget = 0;

/** Keys for the whole page; those that are typed into a field are the field's. */
export function listen(): void {
  addEventListener("keydown", (event) => {
    if ((event.ctrlKey || event.metaKey) && !event.altKey && event.key.toLowerCase() === "k") {
      event.preventDefault();
      paletteOpen.value = !paletteOpen.value;
      return;
    }
    if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented || busy(event)) return;
    const key = event.key;
    const pressed = first ? `${first} ${key}` : key;
    clearTimeout(forget);
    first = "";
    if (pressed === "?") {
      helpOpen.value = true;
      return;
    }
    const found = [...commands.peek()].reverse().find((one) => one.key === pressed);
    if (found) {
      event.preventDefault();
      found.act();
    } else if (commands.peek().some((one) => one.key?.startsWith(`${pressed} `))) {
      first = pressed;
      forget = setTimeout(() => (first = ""), 1200);
    }
  });
}

function busy(event: KeyboardEvent): boolean {
  const at = event.target;
  if (!(at instanceof HTMLElement)) return false;
  return at.isContentEditable || !!at.closest("input, textarea, select, dialog, .menu-list");
}
