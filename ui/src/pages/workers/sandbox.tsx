/** What holds the programs of others, layer by layer. */
import { Panel } from "../../parts/basics.tsx";
import { Icon } from "../../parts/icons.tsx";
import { t } from "./texts.ts";

export interface Sandbox {
  profile: string | null;
  layers: { name: string; works: boolean; why_not: string | null }[];
  missing: string | null;
}

export interface ProgramsState {
  state: "on" | "off" | "opening" | "refused";
  reason: string | null;
  sandbox: Sandbox | null;
}

const NAMES = ["bubblewrap", "network", "user", "seccomp", "landlock", "memory and processes", "cpu", "limits"] as const;

export function Layers({ of }: { of: Sandbox }) {
  return (
    <>
      {of.profile && <p>{t("profile")}: <b>{of.profile}</b></p>}
      <ul class="workers-layers">
        {of.layers.map((one) => {
          const known = NAMES.find((name) => name === one.name);
          return (
            <li key={one.name} class={one.works ? "works" : "lacks"} title={one.why_not ?? ""}>
              <Icon name={one.works ? "check" : "close"} size={15} />
              <span>{known ? t(`layer.${known}`) : one.name}</span>
              <span class="unseen">{t(one.works ? "holds" : "lacks")}</span>
              {one.why_not && <small>{one.why_not}</small>}
            </li>
          );
        })}
      </ul>
      {of.missing && <p class="note">{t("better")} {of.missing}</p>}
    </>
  );
}

/** Whether this server runs any, and in what. */
export function Programs({ of }: { of: ProgramsState }) {
  return (
    <Panel title={t("programs")}>
      <p>{t(`programs.${of.state}`)} {of.reason && <span class="note">{of.reason}</span>}</p>
      {of.sandbox && <Layers of={of.sandbox} />}
    </Panel>
  );
}
