import { define } from "../../i18n/define.ts";

export const t = define({
  en: { title: "new" },
  de: { title: "new" },
  sv: { title: "new" },
});
