/** The pages: their names in the address, and how each is loaded when it is first opened. */
import type { ComponentType } from "preact";
import type { IconName } from "../parts/icons.tsx";

export const PAGES = {
  overview: { icon: "overview", key: "g o", load: () => import("./overview/index.tsx") },
  jobs: { icon: "jobs", key: "g j", load: () => import("./jobs/index.tsx") },
  failures: { icon: "failures", key: "g f", load: () => import("./failures/index.tsx") },
  queues: { icon: "queues", key: "g q", load: () => import("./queues/index.tsx") },
  workers: { icon: "workers", key: "g w", load: () => import("./workers/index.tsx") },
  new: { icon: "new", key: "c", load: () => import("./new/index.tsx") },
  api: { icon: "api", key: "g a", load: () => import("./api/index.tsx") },
  settings: { icon: "settings", key: "g s", load: () => import("./settings/index.tsx") },
  job: { icon: "jobs", key: "", load: () => import("./job/index.tsx") },
} satisfies Record<string, { icon: IconName; key: string; load: () => Promise<{ default: ComponentType }> }>;

export type PageName = keyof typeof PAGES;
export const MENU = ["overview", "jobs", "failures", "queues", "workers", "new", "api", "settings"] as const;
export const isPage = (name: string): name is PageName => name in PAGES;
