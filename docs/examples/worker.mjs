// A whole Rota worker for Node (18 or later): takes `upper` jobs by long poll, two at a time, and leaves on SIGTERM.
import { randomUUID } from "node:crypto";

const URL = process.env.ROTA_URL ?? "http://127.0.0.1:8080";
const worker = randomUUID();
const running = new Map(); // id -> lease
const slots = 2;
let leaving = false;

async function post(path, body) {
  const headers = { "Content-Type": "application/json", Authorization: `Bearer ${process.env.ROTA_TOKEN ?? ""}` };
  for (;;) {
    try {
      const answer = await fetch(URL + path, { method: "POST", headers, body: JSON.stringify({ worker, ...body }) });
      return await answer.json(); // may be a problem; `stale_lease` means that the job is somebody else's by now
    } catch {
      if (leaving) return {};
      await new Promise((done) => setTimeout(done, 1000)); // the server is away; what we hold stays ours for its lease
    }
  }
}

async function run({ id, lease, payload }) {
  const report = { id, lease };
  try {
    Object.assign(report, { end: "done", result: payload.text.toUpperCase() });
  } catch (error) {
    Object.assign(report, { end: "failed", error: { type: error.name, message: error.message } });
  }
  running.delete(id);
  await post("/v1/finish", { outcomes: [report] });
}

const beats = setInterval(() => {
  const leases = [...running].map(([id, lease]) => ({ id, lease }));
  if (leases.length) post("/v1/beat", { leases });
}, 5000);

process.on("SIGTERM", () => (leaving = true));
const inHand = new Set();
while (!leaving) {
  const free = slots - inHand.size;
  if (free === 0) {
    await Promise.race(inHand);
    continue;
  }
  const got = await post("/v1/fetch", { queues: ["default"], types: ["upper"], slots: free, wait: 2 });
  for (const job of got.jobs ?? []) {
    running.set(job.id, job.lease);
    const task = run(job).finally(() => inHand.delete(task));
    inHand.add(task);
  }
}
await Promise.all(inHand);
clearInterval(beats);
