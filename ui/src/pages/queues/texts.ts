import { define } from "../../i18n/define.ts";

export const t = define({
  en: { title: "queues" },
  de: { title: "queues" },
  sv: { title: "queues" },
});
