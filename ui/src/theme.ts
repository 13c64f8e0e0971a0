/** Light, dark, or as the system has it. */
import { computed, effect, signal } from "@preact/signals";
import { kept, oneOf } from "./kept.ts";

export type Theme = "system" | "light" | "dark";
export const theme = kept<Theme>("theme", "system", oneOf("system", "light", "dark"));

const wish = matchMedia("(prefers-color-scheme: dark)");
const system = signal(wish.matches);
wish.addEventListener("change", () => (system.value = wish.matches));

export const dark = computed(() => (theme.value === "system" ? system.value : theme.value === "dark"));

export function dress(): void {
  effect(() => {
    document.documentElement.dataset["theme"] = dark.value ? "dark" : "light";
  });
}
