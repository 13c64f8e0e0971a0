/** What the browser remembers for this page: nothing that anybody else would want to know. */
import { effect, signal, type Signal } from "@preact/signals";

/** A signal that outlives a reload. Where storage is refused (private windows) it lives as long as the page. */
export function kept<T>(name: string, initial: T, valid: (value: unknown) => value is T): Signal<T> {
  const value = signal(read(name, initial, valid));
  let first = true;
  effect(() => {
    const text = JSON.stringify(value.value);
    // What nobody chose is not written down: a later default may be a better one.
    if (!first) write(name, text);
    first = false;
  });
  return value;
}

export function oneOf<T extends string>(...allowed: T[]): (value: unknown) => value is T {
  return (value): value is T => (allowed as unknown[]).includes(value);
}

function read<T>(name: string, initial: T, valid: (value: unknown) => value is T): T {
  try {
    const value: unknown = JSON.parse(localStorage.getItem(`rota.${name}`) ?? "null");
    return valid(value) ? value : initial;
  } catch {
    return initial;
  }
}

function write(name: string, text: string): void {
  try {
    localStorage.setItem(`rota.${name}`, text);
  } catch {
    // Full or refused: the page works without.
  }
}
