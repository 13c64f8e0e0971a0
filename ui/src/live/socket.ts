/** One WebSocket for the whole page. Parts of the page watch topics; what comes is drawn at most ten times a second.
 * A connection that breaks is made again from where it was cut; while none can be made, the pulse is asked for. */
import { computed, effect, signal } from "@preact/signals";
import { get, hasToken, locked, ticketed } from "../api/http.ts";
import type { Event, Pulse } from "../api/types.ts";

const DRAW = 100;
const TIRED = 30_000;
const MAX_TOPICS = 200;
const ASK = 5_000;
/** Pages at which each reads half as often. */
const CROWD = 100;

export type Status = "connecting" | "live" | "polling" | "away" | "paused";

/** The newest pulse; it stays while we are away, so that nothing on the page jumps. */
export const pulse = signal<Pulse | null>(null);
/** Paused by the reader. */
export const paused = signal(false);
/** Counts up when what was missed cannot be told: everything has to be read again. */
export const epoch = signal(0);
const link = signal<Exclude<Status, "paused">>("connecting");
export const status = computed<Status>(() => (paused.value ? "paused" : link.value));

/** Milliseconds between two readings, where `alone` would do for one page: many of them must not cost the server what
 * it is there for. What happens is told at once all the same. */
export function between(alone: number): number {
  return alone * (1 + (pulse.peek()?.watchers ?? 0) / CROWD);
}

type Listener = (events: Event[]) => void;
const watchers = new Map<Listener, readonly string[]>();
let socket: WebSocket | null = null;
let cursor: string | undefined;
let asked = "";
let failures = 0;
let waiting: Event[] = [];
let fresh: Pulse | null = null;
let drawing = 0;
let again = 0;
let asking = 0;
let tired = 0;
let resting = false;

/** Hear of what happens under these topics (`job:ID`, `queue:NAME`, `*`) until the answer is called. */
export function watch(topics: readonly string[], listener: Listener): () => void {
  watchers.set(listener, topics);
  subscribe();
  return () => {
    watchers.delete(listener);
    subscribe();
  };
}

/** Begin, once. */
export function connect(): void {
  effect(() => {
    const stop = paused.value || locked.value;
    if (stop) close();
    else open();
  });
  document.addEventListener("visibilitychange", () => {
    clearTimeout(tired);
    if (document.hidden) tired = setTimeout(rest, TIRED);
    else if (resting) wake();
    else draw();
  });
  addEventListener("online", () => {
    failures = 0;
    if (!socket) open();
  });
}

/** Nobody looks: the server need not tell us. */
function rest(): void {
  resting = true;
  close();
}

function wake(): void {
  resting = false;
  if (!paused.peek() && !locked.peek()) open();
}

async function open(): Promise<void> {
  if (socket || resting) return;
  clearTimeout(again);
  const place = new URL("v1/live", document.baseURI);
  place.protocol = place.protocol.replace("http", "ws");
  let address = place.href;
  if (hasToken()) {
    try {
      address = new URL(await ticketed("v1/live"), document.baseURI).href.replace(/^http/, "ws");
    } catch {
      return retry();
    }
    if (socket || resting || paused.peek()) return;
  }
  const mine = new WebSocket(address);
  socket = mine;
  mine.onopen = () => {
    asked = "";
    subscribe();
  };
  mine.onmessage = (message) => {
    if (mine === socket) take(JSON.parse(message.data as string));
  };
  mine.onclose = () => {
    if (mine !== socket) return;
    socket = null;
    retry();
  };
}

function close(): void {
  const old = socket;
  socket = null;
  clearTimeout(again);
  clearInterval(asking);
  asking = 0;
  // Browsers complain of one that is closed while it is being made.
  if (old?.readyState === WebSocket.CONNECTING) old.onopen = () => old.close();
  else old?.close();
}

function retry(): void {
  if (paused.peek() || resting || locked.peek()) return;
  failures += 1;
  link.value = asking && link.peek() === "polling" ? "polling" : "away";
  // Some spread, so that all pages do not come back in the same moment.
  const pause = Math.min(10_000, 250 * 2 ** Math.min(failures, 6)) * (0.5 + Math.random() / 2);
  clearTimeout(again);
  again = setTimeout(open, pause);
  if (!asking && failures >= 2) {
    asking = setInterval(ask, ASK);
    void ask();
  }
}

/** Something between us and the server may let requests pass and no sockets. */
async function ask(): Promise<void> {
  if (document.hidden) return;
  try {
    const answer = await get<Pulse>("v1/pulse");
    if (!asking) return;
    link.value = "polling";
    fresh = answer;
    draw();
    epoch.value += 1;
  } catch {
    if (asking) link.value = "away";
  }
}

function subscribe(): void {
  if (socket?.readyState !== WebSocket.OPEN) return;
  const topics = new Set(["pulse"]);
  for (const some of watchers.values()) for (const topic of some) if (topics.size < MAX_TOPICS) topics.add(topic);
  const wanted = JSON.stringify([...topics].sort());
  if (wanted === asked) return;
  asked = wanted;
  socket.send(JSON.stringify({ op: "subscribe", topics: [...topics], ...(cursor !== undefined && { after: cursor }) }));
}

interface Frame {
  op: string;
  cursor?: string;
  reset?: boolean;
  events?: Event[];
}

function take(frame: Frame): void {
  if (frame.op === "pulse") {
    fresh = frame as unknown as Pulse;
  } else if (frame.op === "events") {
    cursor = frame.cursor;
    waiting.push(...(frame.events ?? []));
  } else if (frame.op === "subscribed") {
    clearInterval(asking);
    asking = 0;
    // After a break we may have missed what no topic of ours would have told.
    const returned = failures > 0 || link.peek() === "polling";
    failures = 0;
    cursor = frame.cursor;
    link.value = "live";
    if (frame.reset || returned) epoch.value += 1;
    return;
  } else if (frame.op === "error") {
    // A cursor of a server that is gone, or topics that it does not know: from here on, then.
    cursor = undefined;
    epoch.value += 1;
    return;
  }
  if (!drawing && !document.hidden) drawing = setTimeout(draw, DRAW);
}

function draw(): void {
  clearTimeout(drawing);
  drawing = 0;
  const events = waiting;
  waiting = [];
  if (fresh) pulse.value = fresh;
  fresh = null;
  if (!events.length) return;
  for (const [listener, topics] of [...watchers]) {
    const mine = events.filter((event) => topics.some((topic) => concerns(topic, event)));
    if (mine.length) listener(mine);
  }
}

function concerns(topic: string, event: Event): boolean {
  return topic === "*" || topic === `job:${event.id}` || topic === `queue:${event.queue}`;
}
