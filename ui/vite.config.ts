import { defineConfig } from "vite";
import { texts } from "./texts.plugin.ts";

// The files are served below /ui, and the page by any address: so everything is relative to it.
export default defineConfig({
  base: "./",
  oxc: { jsx: { runtime: "automatic", importSource: "preact" } },
  plugins: [texts()],
  build: {
    assetsDir: "ui",
    assetsInlineLimit: 0,
    cssCodeSplit: false,
    emptyOutDir: true,
    license: { fileName: "ui/licenses.md" },
    modulePreload: false,
    reportCompressedSize: false,
    target: "es2022",
  },
  server: { proxy: { "/v1": { target: "http://127.0.0.1:8080", ws: true, changeOrigin: true } } },
});
