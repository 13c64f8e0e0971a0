/** A page begins at its top, and the way back leads to where one was. */
import { useLayoutEffect } from "preact/hooks";
import { place } from "./route.ts";

/** Milliseconds for which a page may grow before the way back is given up. */
const PATIENCE = 2000;
const HANDS = ["wheel", "touchmove", "pointerdown", "keydown"] as const;
const offsets = new Map<number, number>();
let marks = Date.now();
let here = { mark: 0, page: "" };

/** In the frame, once: runs when another place is drawn, before it is seen. */
export function useScroll(): void {
  useLayoutEffect(arrive, [place.value]);
}

addEventListener("scroll", () => offsets.set(here.mark, scrollY), { passive: true });

function arrive(): void {
  const { page, rest } = place.peek();
  const name = [page, ...rest].join("/");
  const mark = known() ?? begin();
  if (mark === here.mark) return;
  const first = !here.mark;
  // Another filter of the same list leaves the eye where it is. After a reload the browser sees to it itself.
  const wanted = offsets.get(mark) ?? (name === here.page || first ? undefined : 0);
  here = { mark, page: name };
  if (wanted !== undefined) settle(wanted);
}

/** The browser keeps the mark of a place with it; a place without one is new. */
function known(): number | undefined {
  return (history.state as { mark?: number } | null)?.mark;
}

function begin(): number {
  marks += 1;
  history.replaceState({ mark: marks }, "");
  return marks;
}

/** What is to be seen there may still be on its way; who scrolls in the meantime is left alone. */
function settle(wanted: number): void {
  const end = performance.now() + PATIENCE;
  const mine = here.mark;
  const hand = new AbortController();
  for (const one of HANDS) addEventListener(one, () => hand.abort(), { passive: true, signal: hand.signal });
  const step = () => {
    if (hand.signal.aborted || here.mark !== mine) return hand.abort();
    scrollTo({ top: wanted, behavior: "instant" });
    if (Math.abs(scrollY - wanted) <= 1 || performance.now() > end) hand.abort();
    else requestAnimationFrame(step);
  };
  step();
}
