import { define } from "../../i18n/define.ts";

export const t = define({
  en: { title: "jobs" },
  de: { title: "jobs" },
  sv: { title: "jobs" },
});
