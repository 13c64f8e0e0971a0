/** Made by texts.plugin.ts: all texts of a language, by part and name. */
declare module "virtual:texts/*" {
  const texts: Record<string, Record<string, string | { one: string; other: string }>>;
  export default texts;
}
