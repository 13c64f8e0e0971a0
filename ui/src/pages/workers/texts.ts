import { define } from "../../i18n/define.ts";

export const t = define({
  en: { title: "workers" },
  de: { title: "workers" },
  sv: { title: "workers" },
});
