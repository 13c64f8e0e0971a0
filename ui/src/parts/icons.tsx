/** Line drawings, 24 by 24. They stand beside words or under a label, so they say nothing themselves. */
const DRAWN = {
  overview: "M4 13h6V4H4zM14 20h6v-9h-6zM4 20h6v-3H4zM14 7h6V4h-6z",
  jobs: "M4 6h16M4 12h16M4 18h10",
  failures: "M12 9v4m0 3.500v.01M10.300 4.300 2.700 17.500a2 2 0 0 0 1.700 3h15.200a2 2 0 0 0 1.700-3L13.700 4.300a2 2 0 0 0-3.400 0z",
  queues: "m12 3 9 5-9 5-9-5zM3 12.500l9 5 9-5M3 17l9 5 9-5",
  workers: "M4 5h16v6H4zM4 13h16v6H4zM8 8h.01M8 16h.01",
  new: "M12 5v14M5 12h14",
  api: "m8 8-4 4 4 4M16 8l4 4-4 4M13.500 5l-3 14",
  settings: "M4 7h10m4 0h2M4 17h2m4 0h10M16 5v4M8 15v4",
  search: "M11 18a7 7 0 1 0 0-14 7 7 0 0 0 0 14zM20 20l-4-4",
  more: "M4 12a1 1 0 1 0 2 0 1 1 0 1 0-2 0M11 12a1 1 0 1 0 2 0 1 1 0 1 0-2 0M18 12a1 1 0 1 0 2 0 1 1 0 1 0-2 0",
  close: "M6 6l12 12M18 6 6 18",
  check: "m5 12.500 4.500 4.500L19 7.500",
  alert: "M12 8v5m0 3v.01M12 21a9 9 0 1 0 0-18 9 9 0 0 0 0 18z",
  info: "M12 11v5m0-8v.01M12 21a9 9 0 1 0 0-18 9 9 0 0 0 0 18z",
  pause: "M8 5v14M16 5v14",
  play: "m8 5 11 7-11 7z",
  stop: "M6 6h12v12H6z",
  retry: "M4 12a8 8 0 1 0 2.500-5.800M4 4v4.500h4.500",
  trash: "M4 7h16M9 7V4h6v3M6 7l1 13h10l1-13M10 11v5M14 11v5",
  edit: "M4 20h4L19.500 8.500a2.100 2.100 0 0 0-3-3L5 17z",
  copy: "M9 9h11v11H9zM5 15H4V4h11v1",
  download: "M12 4v11m0 0-4.500-4.500M12 15l4.500-4.500M4 20h16",
  upload: "M12 16V5m0 0L7.500 9.500M12 5l4.500 4.500M4 20h16",
  columns: "M4 5h16v14H4zM10 5v14M15 5v14",
  star: "m12 4 2.500 5.200 5.500.8-4 3.900 1 5.600-5-2.700-5 2.700 1-5.600-4-3.900 5.500-.8z",
  sun: "M12 16a4 4 0 1 0 0-8 4 4 0 0 0 0 8zM12 2v2M12 20v2M2 12h2M20 12h2M5 5l1.400 1.400M17.600 17.600 19 19M19 5l-1.400 1.400M6.400 17.600 5 19",
  moon: "M20 14.500A8.500 8.500 0 1 1 9.500 4a7 7 0 0 0 10.500 10.500z",
  system: "M4 5h16v11H4zM9 20h6M12 16v4",
  left: "m14 6-6 6 6 6",
  right: "m10 6 6 6-6 6",
  down: "m6 10 6 6 6-6",
  clock: "M12 21a9 9 0 1 0 0-18 9 9 0 0 0 0 18zM12 7v5l3.500 2",
  globe: "M12 21a9 9 0 1 0 0-18 9 9 0 0 0 0 18zM3 12h18M12 3c3 3 3 15 0 18M12 3c-3 3-3 15 0 18",
  link: "M10 14a4 4 0 0 0 5.700 0l3-3A4 4 0 0 0 13 5.300l-1 1M14 10a4 4 0 0 0-5.700 0l-3 3a4 4 0 0 0 5.700 5.700l1-1",
  keyboard: "M3 6h18v12H3zM7 10h.01M11 10h.01M15 10h.01M17 14h.01M7 14h.01M10 14h4",
} as const;

export type IconName = keyof typeof DRAWN;

export function Icon({ name, size = 18 }: { name: IconName; size?: number }) {
  return (
    <svg class="icon" width={size} height={size} viewBox="0 0 24 24" aria-hidden="true" focusable="false">
      <path d={DRAWN[name]} />
    </svg>
  );
}
