/** The interface for programs, from the description that the server makes of itself. */
import { useMemo } from "preact/hooks";
import { useQuery } from "../../api/query.ts";
import { Copy, Empty, Fault, Head, Panel, Waiting } from "../../parts/basics.tsx";
import { Finder } from "../../parts/finder.tsx";
import { Icon } from "../../parts/icons.tsx";
import { place } from "../../route.ts";
import { t } from "./texts.ts";
import "./style.css";

interface Parameter {
  name: string;
  in: string;
  required?: boolean;
  description?: string;
}

interface Operation {
  operationId: string;
  summary: string;
  description?: string;
  tags?: string[];
  parameters?: Parameter[];
  requestBody?: { content: Record<string, { example?: unknown; examples?: Record<string, { value: unknown }> }> };
  responses: Record<string, Response>;
}

interface Response {
  description?: string;
  $ref?: string;
}

interface Description {
  paths: Record<string, Record<string, Operation>>;
  components?: { responses?: Record<string, Response>; parameters?: Record<string, Parameter> };
}

interface Request extends Operation {
  method: string;
  path: string;
}

export default function ApiPage() {
  const { data, error, refresh } = useQuery<Description>("openapi.json");
  const wanted = place.value.query.get("find") ?? "";
  const groups = useMemo(() => grouped(data, wanted), [data, wanted]);
  const n = [...groups.values()].reduce((sum, some) => sum + some.length, 0);
  return (
    <>
      <Head title={t("title")} note={t("note")}>
        <a class="button" href="openapi.json">{t("raw")}</a>
        <a class="button primary" href="docs"><Icon name="play" /><span>{t("try")}</span></a>
      </Head>
      {error && <Fault error={error} retry={refresh} />}
      {!data && !error && <Waiting rows={8} />}
      {data && (
        <>
          <div class="api-find">
            <Finder name="find" label={t("find")} group={t("title")} />
            <span class="note">{t("count", { n })}</span>
          </div>
          <div class="stack">
            {[...groups].map(([group, requests]) => (
              <Panel key={group} class="flush" title={group}>
                {requests.map((one) => <One key={one.operationId} of={one} />)}
              </Panel>
            ))}
          </div>
          {!n && <Empty icon="search" title={t("nothing")} />}
        </>
      )}
    </>
  );
}

function One({ of }: { of: Request }) {
  const line = command(of);
  return (
    <details class="api-one">
      <summary>
        <span class={`api-method ${of.method}`}>{of.method.toUpperCase()}</span>
        <code>{of.path}</code>
        <span class="note">{of.summary}</span>
      </summary>
      <div class="api-more">
        {of.description && <p>{of.description.replaceAll("`", "")}</p>}
        {!!of.parameters?.length && (
          <>
            <h3>{t("parameters")}</h3>
            <dl>
              {of.parameters.map((one) => (
                <div key={one.name}><dt><code>{one.name}</code> {one.required && <small>{t("required")}</small>}</dt><dd>{one.description?.replaceAll("`", "")}</dd></div>
              ))}
            </dl>
          </>
        )}
        <h3>{t("answers")}</h3>
        <dl>
          {Object.entries(of.responses).map(([status, one]) => (
            <div key={status}><dt><code>{status}</code></dt><dd>{one.description?.replaceAll("`", "")}</dd></div>
          ))}
        </dl>
        <h3>{t("command")}</h3>
        <div class="api-command"><pre>{line}</pre><Copy text={line} label={t("command")} /></div>
      </div>
    </details>
  );
}

function grouped(data: Description | undefined, wanted: string): Map<string, Request[]> {
  const words = wanted.toLowerCase().split(/\s+/).filter(Boolean);
  const found = new Map<string, Request[]>();
  for (const [path, methods] of Object.entries(data?.paths ?? {})) {
    for (const [method, operation] of Object.entries(methods)) {
      const said = `${method} ${path} ${operation.summary} ${operation.description ?? ""} ${operation.parameters?.map((one) => one.name).join(" ")}`.toLowerCase();
      if (!words.every((word) => said.includes(word))) continue;
      const group = operation.tags?.[0] ?? "";
      const responses = Object.entries(operation.responses).map(([status, one]) => {
        const name = one.$ref?.split("/").at(-1);
        return [status, name === undefined ? one : (data?.components?.responses?.[name] ?? one)];
      });
      found.set(group, [...(found.get(group) ?? []), { ...operation, responses: Object.fromEntries(responses), method, path }]);
    }
  }
  return found;
}

function command({ method, path, requestBody }: Request): string {
  const [media, body] = Object.entries(requestBody?.content ?? {})[0] ?? [];
  const value = body?.example ?? Object.values(body?.examples ?? {})[0]?.value;
  const quote = (text: string) => `'${text.replaceAll("'", "'\\''")}'`;
  const address = quote(new URL(path.slice(1), document.baseURI).href.replaceAll("%7B", "{").replaceAll("%7D", "}"));
  const parts = ["curl", ...(method === "get" ? [] : ["-X", method.toUpperCase()])];
  if (media === "application/json") parts.push("--json", quote(JSON.stringify(value ?? {})));
  else if (media) parts.push("-H", quote(`Content-Type: ${media}`), "--data-binary", "@FILE");
  return [...parts, address].join(" ");
}
