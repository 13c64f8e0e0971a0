// Numbers and times as people read them.
import assert from "node:assert/strict";
import { test } from "node:test";
import { language } from "../src/i18n/define.ts";
import { absolute, bytes, compact, duration, relative, rough, zone } from "../src/i18n/format.ts";

language.value = "en";
zone.value = "utc";

test("lengths of time", () => {
  const told = [0, 0.00004, 0.0042, 0.34, 1.234, 12.34, 59.96, 200, 3600, 7500, 86400 * 4 + 3 * 3600 + 59, -90].map(duration);
  assert.deepEqual(told, ["0 s", "40 µs", "4.2 ms", "340 ms", "1.23 s", "12.3 s", "1 min", "3 min 20 s", "1 h", "2 h 5 min", "4 d 3 h", "-1 min 30 s"]);
});

test("numbers where there is little room", () => {
  assert.deepEqual([9999, 12_345, 1_234_567].map(compact), ["9,999", "12K", "1.2M"]);
  assert.deepEqual([0, 0.0123, 0.5, 12.34, 4321].map(rough), ["0", "0.012", "0.5", "12.3", "4,321"]);
  assert.deepEqual([0, 999, 1000, 9_949_000, 62_914_560].map(bytes), ["0 B", "999 B", "1 kB", "9.9 MB", "63 MB"]);
});

test("times near and exact", () => {
  const now = Date.parse("2026-01-31T08:30:00Z");
  assert.deepEqual([0, -12, 90, -7200, 3 * 86400].map((seconds) => relative(now + seconds * 1000, now)), ["now", "12 sec. ago", "in 1 min.", "2 hr. ago", "in 3 days"]);
  assert.match(absolute("2026-01-31T08:30:00.123456Z", { fine: true }), /2026.*08:30:00\.123/);
});
