/** Shapes of /v1, as far as the page reads them; docs/api.md describes them. */

export const STATES = ["scheduled", "pending", "running", "done", "failed", "cancelled"] as const;
export type State = (typeof STATES)[number];
export const ENDED: readonly State[] = ["done", "failed", "cancelled"];
export type Counts = Record<State, number>;

/** A job in a list: without payload, result and attempts. */
export interface Job {
  id: string;
  type: string;
  queue: string;
  state: State;
  priority: number;
  attempt: number;
  max_attempts: number;
  created_at: string;
  run_at: string;
  started_at: string | null;
  finished_at: string | null;
  expires_at: string | null;
  timeout: number | null;
  retention: number | null;
  retry: Retry;
  tags: string[];
  unique_key: string | null;
  unique_states: State[] | null;
  worker: string | null;
  lease: number;
  lease_until: string | null;
  losses: number;
  cancel_requested: boolean;
  reason: string | null;
  fingerprint: string | null;
  progress: Progress | null;
  waiting_because: string | null;
}

export interface Progress {
  value: number | null;
  message: string | null;
}

export type Retry =
  | { kind: "none" }
  | { kind: "fixed"; delay: number; back?: boolean }
  | { kind: "list"; delays: number[] }
  | { kind: "exponential"; base?: number; factor?: number; max?: number; jitter?: number };

export interface Failure {
  type: string;
  message: string;
  traceback?: string;
  details?: unknown;
}

export interface Attempt {
  attempt: number;
  lease: number;
  worker: string | null;
  started_at: string;
  finished_at: string | null;
  end: string | null;
  error: Failure | null;
}

/** One job, whole. Its values may hold numbers beyond JavaScript's: read them with json/parse.ts. */
export interface WholeJob extends Job {
  headers: Record<string, string>;
  content_type: string;
  payload?: unknown;
  payload_base64?: string;
  result_type: string;
  result?: unknown;
  result_base64?: string;
  error: Failure | null;
  attempts: Attempt[];
}

export interface Page<T> {
  jobs: T[];
  cursor: string | null;
}

export interface FailureGroup {
  fingerprint: string;
  type: string;
  error: string;
  frame: string | null;
  message: string;
  job: string;
  jobs: number;
  first_seen: string;
  last_seen: string;
  hours: number[];
}

export interface Queue extends Counts {
  name: string;
  paused: boolean;
  oldest_age: number | null;
  workers: number;
  slots: number;
  types_without_worker: string[];
}

export interface Worker {
  worker: string;
  name: string;
  version: string | null;
  transport: string;
  queues: string[];
  types: string[] | null;
  slots: number;
  /** How many jobs it has in hand. */
  running: number;
  connected_at: string;
  last_beat: string;
  draining: boolean;
  sandbox: unknown;
  server: string | null;
}

export interface Quantiles<T> {
  p50?: T;
  p95?: T;
  p99?: T;
}

export interface Series {
  queue: string | null;
  type: string | null;
  others?: number;
  totals: Record<"enqueued" | "started" | "done" | "failed" | "cancelled" | "requeued", number> & {
    wait: Quantiles<number>;
    run: Quantiles<number>;
  };
  enqueued: (number | null)[];
  started: (number | null)[];
  done: (number | null)[];
  failed: (number | null)[];
  cancelled: (number | null)[];
  requeued: (number | null)[];
  wait: Quantiles<(number | null)[]>;
  run: Quantiles<(number | null)[]>;
  pending?: (number | null)[];
  scheduled?: (number | null)[];
  running?: (number | null)[];
  oldest_age?: (number | null)[];
}

export interface Figures {
  resolution: number;
  since: string;
  until: string;
  points: number;
  group: string;
  up: { since: string; until: string }[];
  series: Series[];
}

/** What the server says once a second to all pages. */
export interface Pulse {
  op: "pulse";
  at: string;
  jobs: Counts;
  rates: Record<"enqueued" | "started" | "done" | "failed", number>;
  queues: { name: string; paused: boolean; pending: number; scheduled: number; running: number; failed: number; oldest_age: number | null }[];
  queues_more: number;
  workers: { connected: number; inside: number; draining: number; slots: number; running: number };
  /** Pages that this server tells. */
  watchers: number;
  changed: { jobs: boolean; queues: string[]; workers: boolean; failures: boolean };
}

/** Something that happened (docs/events.md). */
export interface Event {
  n: number;
  event: string;
  at: string;
  id?: string;
  type?: string;
  queue?: string;
  state?: State;
  worker?: string;
  attempt?: number;
  value?: number;
  message?: string;
  level?: string;
  text?: string;
  end?: string;
  reason?: string;
  [more: string]: unknown;
}

export interface Finding {
  code: string;
  level: "ok" | "warning" | "error";
  sentence: string;
  numbers: Record<string, unknown>;
  queue: string | null;
  type: string | null;
  command: string | null;
}

export interface Condition {
  level: "ok" | "warning" | "error";
  at: string;
  findings: Finding[];
}

export interface Changed {
  matched: number;
  changed: number;
  skipped: number;
  cursor: string | null;
}

export interface Explanation {
  id: string;
  cause: string;
  sentence: string;
  at: string | null;
  certainty: string | null;
  causes: { cause: string; sentence: string; at: string | null; numbers: Record<string, unknown> }[];
}
