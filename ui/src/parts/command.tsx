/** A line for the terminal, with a button that copies it. */
import { Copy } from "./basics.tsx";

export function Command({ line }: { line: string }) {
  return (
    <span class="command">
      <code>{line}</code>
      <Copy text={line} label={line} />
    </span>
  );
}

/** How a worker for these queues is started, for the server of this page. `app:app` stands for the reader's own. */
export function work(queues: readonly string[] = []): string {
  const here = new URL(".", document.baseURI).href.replace(/\/$/, "");
  const url = here === "http://127.0.0.1:8080" || here === "http://localhost:8080" ? "" : ` --url ${here}`;
  return `rota work app:app${queues.length ? ` --queues ${queues.join(",")}` : ""}${url}`;
}
