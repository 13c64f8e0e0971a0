import type { FailureGroup } from "../../api/types.ts";
import { compact, number } from "../../i18n/format.ts";
import { Button, When } from "../../parts/basics.tsx";
import { Spark } from "../../parts/chart.tsx";
import { Menu } from "../../parts/menu.tsx";
import { go, href } from "../../route.ts";
import { t } from "./texts.ts";

interface GroupProps {
  of: FailureGroup;
  queue: string;
  onAll: (act: "retry" | "delete") => void;
}

/** Of a message as much as two lines can show; all of it is with the job. */
const CLAMP = 400;

export function Group({ of, queue, onAll }: GroupProps) {
  const { fingerprint, type, error, frame, message, job, jobs, hours } = of;
  const list = href(["jobs"], { fingerprint, queue: queue || null });
  const hour = hours.at(-1) ?? 0;
  return (
    <li class="failures-group">
      <div class="failures-what">
        <p class="failures-head">
          <a class="failures-error" href={list} title={error}>{error}</a>
          <span class="tag" title={type}>{type}</span>
        </p>
        <p class="failures-said" title={message.slice(0, 2000)}>{message.slice(0, CLAMP) || <span class="note">{t("nomessage")}</span>}</p>
        {frame && <p class="failures-frame note"><code title={frame}>{frame}</code></p>}
      </div>
      <div class="failures-day">
        <Spark values={hours} colour="--failed" label={t("hours", { all: hours.reduce((sum, one) => sum + one, 0), now: hour })} />
        <small class="note" aria-hidden="true">{t("day")}</small>
      </div>
      <div class="failures-count">
        <a href={list} title={number(jobs)}><b class="figure">{compact(jobs)}</b></a>
        <small class="note">{t("jobs", { n: jobs })}</small>
      </div>
      <dl class="failures-seen">
        <div><dt>{t("last")}</dt><dd><When at={of.last_seen} /></dd></div>
        <div><dt>{t("first")}</dt><dd><When at={of.first_seen} /></dd></div>
      </dl>
      <div class="failures-acts">
        <a class="button small" href={href(["job", job])}><span>{t("latest")}</span></a>
        <Button small icon="retry" onClick={() => onAll("retry")}>{t("retry")}</Button>
        <Menu
          small
          kind="quiet"
          icon="more"
          label={t("acts", { error })}
          items={[
            { label: t("open"), icon: "jobs", act: () => go(list) },
            "line",
            { label: t("delete"), icon: "trash", danger: true, act: () => onAll("delete") },
          ]}
        />
      </div>
    </li>
  );
}
