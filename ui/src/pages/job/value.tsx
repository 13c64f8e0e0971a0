/** A payload or result: JSON to look into, or bytes to save, and to look at where that is safe. */
import { useEffect, useMemo, useState } from "preact/hooks";
import { bytes } from "../../i18n/format.ts";
import { JsonView } from "../../json/JsonView.tsx";
import type { Node } from "../../json/parse.ts";
import { Button } from "../../parts/basics.tsx";
import { save } from "../../parts/save.ts";
import { decode } from "./read.ts";
import { t } from "./texts.ts";

/** As an image they run nothing, whatever is in them; each in an element of its own and not in the page. */
const PICTURES = ["image/png", "image/jpeg", "image/gif", "image/webp", "image/svg+xml"];
const TEXTS = /^(text\/|application\/(json|xml|x-ndjson|javascript|yaml)\b)/;
const LONG = 200_000;

interface ValueProps {
  label: string;
  json: Node | null;
  base64: string | undefined;
  type: string;
  name: string;
  find?: (path: string, value: Node) => string;
}

export function Value({ label, json, base64, type, name, find }: ValueProps) {
  if (base64 === undefined) return json && <JsonView value={json} label={label} {...(find && { find })} />;
  return <Bytes base64={base64} type={type} name={name} />;
}

function Bytes({ base64, type, name }: { base64: string; type: string; name: string }) {
  const data = useMemo(() => decode(base64), [base64]);
  const [open, setOpen] = useState(false);
  const [address, setAddress] = useState("");
  const media = type.split(";")[0]?.trim().toLowerCase() ?? "";
  const picture = PICTURES.includes(media);
  useEffect(() => {
    if (!picture) return;
    const made = URL.createObjectURL(new Blob([data], { type: media }));
    setAddress(made);
    return () => URL.revokeObjectURL(made);
  }, [data, media, picture]);

  return (
    <div class="job-bytes">
      <div class="job-bytes-head">
        <span>{t("binary", { type, size: bytes(data.length) })}</span>
        {TEXTS.test(media) && <Button small onClick={() => setOpen(!open)} aria-expanded={open}>{t("show")}</Button>}
        <Button small icon="download" onClick={() => save(`${name}.${ending(media)}`, [data])}>{t("save")}</Button>
      </div>
      {picture && address && <img src={address} alt={t("picture", { name })} />}
      {open && <pre tabIndex={0}>{new TextDecoder().decode(data.subarray(0, LONG))}{data.length > LONG && " …"}</pre>}
    </div>
  );
}

function ending(media: string): string {
  return { "image/svg+xml": "svg", "image/jpeg": "jpg", "text/plain": "txt", "application/octet-stream": "bin" }[media] ?? (media.split("/")[1]?.replace(/[^a-z0-9]/g, "") || "bin");
}
