// Elements are made here and nowhere else; text only ever becomes a text node.

/**
 * An element. `properties`: attributes by name; functions are listeners ("click"), `true` sets an empty attribute,
 * `false` and `null` set nothing. `children`: nodes, texts, or nothing.
 */
export function element(name, properties = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(properties)) {
    if (typeof value === "function") made.addEventListener(key, value);
    else if (value === true) made.setAttribute(key, "");
    else if (value !== false && value != null) made.setAttribute(key, String(value));
  }
  made.append(...children.flat(Infinity).filter((one) => one != null && one !== false));
  return made;
}

/** Text in which `words between backticks` are code. */
export function prose(text) {
  return String(text ?? "").split(/`([^`]*)`/).map((part, index) => index % 2 ? element("code", {}, part) : part);
}

/** A block of code with a button that copies it. */
export function block(text, label) {
  const button = element("button", { type: "button", class: "copy" }, "Copy");
  button.addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(text);
      button.textContent = "Copied";
    } catch {
      getSelection().selectAllChildren(code);
      button.textContent = "Selected";
    }
  });
  const code = element("code", {}, text);
  return element("div", { class: "block" }, button, element("pre", { tabindex: 0, "aria-label": label }, code));
}

/** JSON for people. */
export const pretty = (value) => typeof value === "string" ? value : JSON.stringify(value, null, 2);
