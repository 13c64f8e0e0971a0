/** Nobody has ever handed over a job: what to type. */
import { hasToken } from "../../api/http.ts";
import { Copy, Empty, Panel } from "../../parts/basics.tsx";
import { href } from "../../route.ts";
import { t } from "./texts.ts";

export function First() {
  const server = document.baseURI.replace(/[?#].*$/, "").replace(/\/$/, "");
  const token = hasToken() ? ' -H "Authorization: Bearer $ROTA_TOKEN"' : "";
  const job = `curl --json '{"type": "sleep", "payload": {"ms": 3000}}'${token} ${server}/v1/jobs`;
  return (
    <Panel class="overview-first">
      <Empty icon="jobs" title={t("first.title")}>
        <p>{t("first.text")}</p>
        <Line text={job} />
        <a class="button primary" href={href(["new"])}>{t("first.new")}</a>
        <p>{t("first.work")}</p>
        <Line text={`rota work app:app --url ${server}`} />
      </Empty>
    </Panel>
  );
}

function Line({ text }: { text: string }) {
  return (
    <p class="overview-type">
      <code>{text}</code>
      <Copy text={text} label={t("first.command")} />
    </p>
  );
}
