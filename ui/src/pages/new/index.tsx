import { Head, Waiting } from "../../parts/basics.tsx";
import { t } from "./texts.ts";
import "./style.css";

export default function Page() {
  return (
    <>
      <Head title={t("title")} />
      <Waiting />
    </>
  );
}
