/** What the page itself has, as a file of the reader's: never of a type that a browser would open. */
export function save(name: string, parts: BlobPart[]): void {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob(parts, { type: "application/octet-stream" }));
  link.download = name;
  link.click();
  // Browsers fetch it after the click.
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}
