import { define } from "../../i18n/define.ts";

export const t = define({
  en: { title: "overview" },
  de: { title: "overview" },
  sv: { title: "overview" },
});
