/** What to paste into a terminal to have the same job once more. */
import { useMemo } from "preact/hooks";
import { hasToken } from "../../api/http.ts";
import { print } from "../../json/parse.ts";
import { Copy, Panel } from "../../parts/basics.tsx";
import { quote, type Shown } from "./read.ts";
import { binary, body, header, same, uploaded, withoutUpload } from "./request.ts";
import { t } from "./texts.ts";

const LONG = 4000;

export function Again({ shown }: { shown: Shown }) {
  const line = useMemo(() => command(shown), [shown]);
  return (
    <Panel title={t("again")} aside={<Copy text={line} label={t("again")} />}>
      <pre class="job-again" tabIndex={0}>{line.length > LONG ? `${line.slice(0, LONG)} …` : line}</pre>
    </Panel>
  );
}

function command({ job, payload }: Shown): string {
  const parts = ["curl"];
  // The token itself is for nobody's history of commands.
  if (hasToken()) parts.push('-H "authorization: Bearer $ROTA_TOKEN"');
  if (uploaded(payload) && payload) {
    const about = header([...same(job), ["payload", print(withoutUpload(payload))]]);
    parts.push(`--data-binary @${job.id}.zip`, "-H 'content-type: application/zip'", `-H ${quote(`rota-job: ${about}`)}`);
  } else {
    const members = same(job);
    if (payload) members.push(["payload", print(payload)]);
    else if (job.payload_base64 !== undefined) members.push(...binary(job));
    parts.push(`--json ${quote(body(members))}`);
  }
  return [...parts, quote(new URL("v1/jobs", document.baseURI).href)].join(" ");
}
