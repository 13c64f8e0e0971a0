import { define } from "../../i18n/define.ts";

export const t = define({
  en: { title: "api" },
  de: { title: "api" },
  sv: { title: "api" },
});
