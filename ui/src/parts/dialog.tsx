/** Dialogs are the browser's own: focus, Escape and what is behind are its business. */
import { signal } from "@preact/signals";
import type { ComponentChildren } from "preact";
import { useId, useLayoutEffect, useRef } from "preact/hooks";
import { Button } from "./basics.tsx";
import { t } from "./texts.ts";

interface DialogProps {
  title: ComponentChildren;
  /** Without it there is no way out but its own acts. */
  onClose?: () => void;
  children?: ComponentChildren;
  acts?: ComponentChildren;
  class?: string;
}

/** Open as long as it is drawn. */
export function Dialog({ title, onClose, children, acts, class: more }: DialogProps) {
  const box = useRef<HTMLDialogElement>(null);
  const name = useId();
  // Before anything is painted: what is typed at once belongs into the dialog.
  useLayoutEffect(() => {
    const dialog = box.current;
    dialog?.showModal();
    return () => dialog?.close();
  }, []);
  return (
    <dialog
      ref={box}
      class={`dialog ${more ?? ""}`}
      aria-labelledby={name}
      onCancel={(event) => {
        event.preventDefault();
        onClose?.();
      }}
      // A second Escape closes it whatever we say.
      onClose={() => box.current?.isConnected && box.current.showModal()}
      onClick={(event) => event.target === box.current && onClose?.()}
    >
      <header>
        <h2 id={name}>{title}</h2>
        {onClose && <Button kind="quiet" icon="close" aria-label={t("close")} onClick={onClose} />}
      </header>
      <div class="dialog-body">{children}</div>
      {acts && <footer>{acts}</footer>}
    </dialog>
  );
}

interface Question {
  title: string;
  text?: ComponentChildren;
  /** The button that does it, in words of the act: `Delete 42 jobs`. */
  act: string;
  danger?: boolean;
  answer: (yes: boolean) => void;
}

const question = signal<Question | null>(null);

/** Ask before what cannot be undone. */
export function sure(asked: Omit<Question, "answer">): Promise<boolean> {
  question.value?.answer(false);
  return new Promise((resolve) => {
    question.value = {
      ...asked,
      answer: (yes) => {
        question.value = null;
        resolve(yes);
      },
    };
  });
}

export function Questions() {
  const asked = question.value;
  if (!asked) return null;
  return (
    <Dialog
      title={asked.title}
      class="narrow"
      onClose={() => asked.answer(false)}
      acts={
        <>
          <Button onClick={() => asked.answer(false)}>{t("cancel")}</Button>
          <Button kind={asked.danger ? "danger" : "primary"} onClick={() => asked.answer(true)}>{asked.act}</Button>
        </>
      }
    >
      {asked.text}
    </Dialog>
  );
}
