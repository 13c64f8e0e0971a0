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
    modulePreload: { polyfill: false },
    reportCompressedSize: false,
    // One file for all pages packs better than ten, and is there at once when a page is opened.
    rolldownOptions: { output: { codeSplitting: { groups: [{ name: "pages", test: /[\\/]src[\\/](?!parts[\\/]plot)|preact/ }] } } },
    target: "es2022",
  },
  server: { proxy: { "/v1": { target: "http://127.0.0.1:8080", ws: true, changeOrigin: true } } },
});
