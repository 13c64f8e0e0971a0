/** Lists that change by themselves keep their order while somebody points at them: what is clicked is what was meant. */
import { useRef, useState } from "preact/hooks";

export interface Calm<T> {
  items: readonly T[];
  /** For what is around the list. */
  hold: { onPointerEnter: (event: PointerEvent) => void; onPointerLeave: () => void; onFocusIn: (event: FocusEvent) => void; onFocusOut: (event: FocusEvent) => void };
}

export function useCalm<T>(items: readonly T[], key: (item: T) => string, sorting: string): Calm<T> {
  const [pointed, point] = useState(false);
  const [focused, focus] = useState(false);
  const order = useRef<{ of: string; keys: string[] }>({ of: "", keys: [] });
  const held = (pointed || focused) && order.current.of === sorting;
  const shown = held ? inOrder(items, key, order.current.keys) : items;
  order.current = { of: sorting, keys: shown.map(key) };
  return {
    items: shown,
    hold: {
      // A finger leaves nothing behind that would tell when it is gone.
      onPointerEnter: (event) => event.pointerType === "mouse" && point(true),
      onPointerLeave: () => point(false),
      onFocusIn: (event) => focus(event.target instanceof Element && event.target.matches(":focus-visible")),
      onFocusOut: () => focus(false),
    },
  };
}

/** As they stood; those that are new come behind. */
export function inOrder<T>(items: readonly T[], key: (item: T) => string, keys: readonly string[]): T[] {
  const places = new Map(keys.map((one, place) => [one, place]));
  const place = (item: T) => places.get(key(item)) ?? keys.length;
  return [...items].sort((a, b) => place(a) - place(b));
}
