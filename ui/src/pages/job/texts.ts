import { define } from "../../i18n/define.ts";

export const t = define({
  en: { title: "job" },
  de: { title: "job" },
  sv: { title: "job" },
});
