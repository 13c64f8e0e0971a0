import { define } from "../../i18n/define.ts";

export const t = define({
  en: { title: "failures" },
  de: { title: "failures" },
  sv: { title: "failures" },
});
