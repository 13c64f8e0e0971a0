/** Requests to /v1: the token, and refusals as they are told. */
import { signal } from "@preact/signals";

/** Why a request was refused, or did not arrive (`unreachable`). */
export class Problem extends Error {
  code: string;
  status: number;
  field: string | null;
  /** Further members of the problem, such as `allowed`. */
  more: Record<string, unknown>;

  constructor(code: string, detail: string, status = 0, field: string | null = null, more = {}) {
    super(detail);
    this.code = code;
    this.status = status;
    this.field = field;
    this.more = more;
  }
}

export interface Asked {
  query?: Record<string, string | number | boolean | readonly string[] | null | undefined>;
  body?: unknown;
  headers?: Record<string, string>;
  signal?: AbortSignal;
  /** Not an answer that was made for somebody else a moment ago: for what follows an act of ours. */
  fresh?: boolean;
}

/** The server wants a token that we do not have. */
export const locked = signal(false);

const TOKEN = "rota.token";
/** Milliseconds after an act of ours in which no answer of before will do. */
const ACTED = 2000;
let acted = -ACTED;
let token = recall();

export function setToken(value: string): void {
  token = value;
  try {
    // For this tab only: a token that outlives the window is one that is found.
    if (value) sessionStorage.setItem(TOKEN, value);
    else sessionStorage.removeItem(TOKEN);
  } catch {
    // It is kept as long as the page.
  }
}

export const hasToken = (): boolean => token !== "";

export const get = <T>(path: string, asked: Asked = {}): Promise<T> => json<T>("GET", path, asked);
export const post = <T>(path: string, body?: unknown, asked: Asked = {}): Promise<T> =>
  json<T>("POST", path, { ...asked, body });
export const put = <T>(path: string, body?: unknown, asked: Asked = {}): Promise<T> =>
  json<T>("PUT", path, { ...asked, body });
export const remove = <T>(path: string, asked: Asked = {}): Promise<T> => json<T>("DELETE", path, asked);

/** The answer as it was written, for who must not lose a digit of it. */
export async function text(path: string, asked: Asked = {}): Promise<string> {
  return (await send("GET", path, asked)).text();
}

/** Any request; refused ones are thrown as a Problem. The body is sent as JSON unless it is bytes. */
export async function send(method: string, path: string, asked: Asked = {}): Promise<Response> {
  const headers: Record<string, string> = { ...asked.headers };
  if (token) headers["authorization"] = `Bearer ${token}`;
  if (method !== "GET") acted = performance.now();
  // Many pages may ask for the same; the server makes such an answer once, but only for who takes one a second old.
  else headers["cache-control"] = asked.fresh || performance.now() - acted < ACTED ? "no-cache" : "max-age=1";
  let body: BodyInit | undefined;
  if (asked.body instanceof Blob || asked.body instanceof ArrayBuffer || typeof asked.body === "string") {
    body = asked.body;
    headers["content-type"] ??= "application/json";
  } else if (asked.body !== undefined) {
    body = JSON.stringify(asked.body);
    headers["content-type"] = "application/json";
  }
  let answer: Response;
  try {
    answer = await fetch(withQuery(path, asked.query), {
      method,
      headers,
      credentials: "same-origin",
      ...(body !== undefined && { body }),
      ...(asked.signal && { signal: asked.signal }),
    });
  } catch (error) {
    if (asked.signal?.aborted) throw error;
    throw new Problem("unreachable", "The server does not answer.");
  } finally {
    // It may have been done although its answer was lost.
    if (method !== "GET") acted = performance.now();
  }
  if (!answer.ok) throw await refusal(answer);
  return answer;
}

/** Send a file, and hear how far it is (0 to 1). */
export function upload<T>(path: string, file: Blob, headers: Record<string, string>, progress: (done: number) => void): Promise<T> {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    request.open("POST", path);
    for (const [name, value] of Object.entries(headers)) request.setRequestHeader(name, value);
    if (token) request.setRequestHeader("authorization", `Bearer ${token}`);
    request.upload.onprogress = (event) => event.lengthComputable && progress(event.loaded / event.total);
    request.onerror = () => reject(new Problem("unreachable", "The server does not answer."));
    request.onload = () => {
      const answer = new Response(request.responseText, { status: request.status, statusText: request.statusText });
      if (answer.ok) answer.json().then(resolve as (value: unknown) => void, reject);
      else refusal(answer).then(reject, reject);
    };
    request.send(file);
  });
}

/** An address that works without a header, once and for a moment: for sockets, and for downloads that the browser
 * itself saves. */
export async function ticketed(path: string, query: Asked["query"] = {}): Promise<string> {
  if (!token) return withQuery(path, query);
  const { ticket } = await post<{ ticket: string }>("v1/tickets", { path: `/${path}` });
  return withQuery(path, { ...query, ticket });
}

/** Let the browser save what is there. */
export async function download(path: string, query: Asked["query"] = {}): Promise<void> {
  const link = document.createElement("a");
  link.href = await ticketed(path, query);
  link.download = "";
  document.body.append(link);
  link.click();
  link.remove();
}

export function withQuery(path: string, query: Asked["query"] = {}): string {
  const chosen = new URLSearchParams();
  for (const [name, value] of Object.entries(query)) {
    if (value === null || value === undefined) continue;
    for (const one of Array.isArray(value) ? value : [value]) chosen.append(name, String(one));
  }
  const asked = chosen.toString();
  return asked ? `${path}?${asked}` : path;
}

async function json<T>(method: string, path: string, asked: Asked): Promise<T> {
  const answer = await send(method, path, asked);
  return (answer.status === 204 ? undefined : await answer.json()) as T;
}

async function refusal(answer: Response): Promise<Problem> {
  if (answer.status === 401) locked.value = true;
  try {
    const { code, detail, field, status, type: _, title: __, ...more } = await answer.json();
    return new Problem(String(code), String(detail), Number(status), field ?? null, more);
  } catch {
    // Not ours: a proxy between us and the server.
    return new Problem("bad_answer", `${answer.status} ${answer.statusText}`, answer.status);
  }
}

function recall(): string {
  try {
    return sessionStorage.getItem(TOKEN) ?? "";
  } catch {
    return "";
  }
}
