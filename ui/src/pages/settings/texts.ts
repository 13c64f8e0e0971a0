import { define } from "../../i18n/define.ts";

export const t = define({
  en: { title: "settings" },
  de: { title: "settings" },
  sv: { title: "settings" },
});
