/** How a figure went, as a small line without axes. What is not known is a gap. */
const WIDE = 120;
const TALL = 28;

export function Trend({ values, label, colour = "--accent" }: { values: readonly (number | null)[]; label: string; colour?: string }) {
  const high = Math.max(1e-9, ...values.map((value) => value ?? 0));
  const step = WIDE / Math.max(1, values.length - 1);
  const spot = (value: number, place: number) => `${(place * step).toFixed(1)} ${(TALL - 1 - (value / high) * (TALL - 4)).toFixed(1)}`;
  const line: string[] = [];
  const area: string[] = [];
  for (const run of runs(values)) {
    const path = run.map(([place, value]) => spot(value, place)).join("L");
    const [from, to] = [run[0]?.[0] ?? 0, run.at(-1)?.[0] ?? 0];
    line.push(`M${path}`);
    area.push(`M${(from * step).toFixed(1)} ${TALL}L${path}L${(to * step).toFixed(1)} ${TALL}Z`);
  }
  return (
    <svg class="trend" viewBox={`0 0 ${WIDE} ${TALL}`} preserveAspectRatio="none" role="img" aria-label={label}>
      <path d={area.join("")} style={{ fill: `var(${colour})` }} />
      <path d={line.join("")} style={{ stroke: `var(${colour})` }} />
    </svg>
  );
}

/** What stands together without a gap, with its places. */
function runs(values: readonly (number | null)[]): [number, number][][] {
  const found: [number, number][][] = [];
  let open: [number, number][] | undefined;
  values.forEach((value, place) => {
    if (value === null) open = undefined;
    else if (open) open.push([place, value]);
    else found.push((open = [[place, value]]));
  });
  return found;
}
