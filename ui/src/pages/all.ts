/** The pages, by their names in the address. They come as one file: it packs better than nine, and no page has to be
 * waited for. */
import type { ComponentType } from "preact";
import type { IconName } from "../parts/icons.tsx";
import Api from "./api/index.tsx";
import Failures from "./failures/index.tsx";
import Job from "./job/index.tsx";
import Jobs from "./jobs/index.tsx";
import New from "./new/index.tsx";
import Overview from "./overview/index.tsx";
import Queues from "./queues/index.tsx";
import Settings from "./settings/index.tsx";
import Workers from "./workers/index.tsx";

export const PAGES = {
  overview: { icon: "overview", key: "g o", Shown: Overview },
  jobs: { icon: "jobs", key: "g j", Shown: Jobs },
  failures: { icon: "failures", key: "g f", Shown: Failures },
  queues: { icon: "queues", key: "g q", Shown: Queues },
  workers: { icon: "workers", key: "g w", Shown: Workers },
  new: { icon: "new", key: "c", Shown: New },
  api: { icon: "api", key: "g a", Shown: Api },
  settings: { icon: "settings", key: "g s", Shown: Settings },
  job: { icon: "jobs", key: "", Shown: Job },
} satisfies Record<string, { icon: IconName; key: string; Shown: ComponentType }>;

export type PageName = keyof typeof PAGES;
export const MENU = ["overview", "jobs", "failures", "queues", "workers", "new", "api", "settings"] as const;
export const isPage = (name: string): name is PageName => name in PAGES;
