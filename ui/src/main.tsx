import { effect } from "@preact/signals";
import { render } from "preact";
import "./styles/tokens.css";
import "./styles/base.css";
import "./styles/layout.css";
import "./styles/parts.css";
import { App } from "./app.tsx";
import { listen } from "./commands.ts";
import { language, speak } from "./i18n/define.ts";
import { connect } from "./live/socket.ts";
import { dress } from "./theme.ts";

dress();
effect(() => {
  document.documentElement.lang = language.value;
});
listen();
connect();
void speak().then(() => render(<App />, document.getElementById("app") as HTMLElement));
