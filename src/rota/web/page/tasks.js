// The tasks of the parallel queue: a form for new ones, and two lists that follow what happens.

import { element } from "./dom.js";

const at = (id) => document.getElementById(id);
const rows = at("taskRows"), message = at("message"), connection = at("connection"), tokenField = at("token");
const withSocket = document.documentElement.dataset.events === "socket";
const MOST = 300; // entries drawn in a list
const WHOLE = /^[+-]?\d+$/;

// What is known. An entry stays the same object, and the same element, from the queue to its end.
let waiting = new Set(), active = new Map(), lastStarted = null, drawing = false;
// Events that came since the lists were last read as a whole.
let news = 0, reading = null, needsToken = false, cost = 0;

const token = () => tokenField.value.trim();
const entry = (id, ms, state) => ({ id, ms, state, node: null, since: null });

// Asking the server

async function ask(path, options = {}) {
  const headers = { ...options.headers, ...(token() ? { Authorization: `Bearer ${token()}` } : {}) };
  const answer = await fetch(path, { ...options, headers, cache: "no-store" });
  if (answer.status === 401) {
    needsToken = true;
    if (at("tokenLabel").hidden) {
      at("tokenLabel").hidden = false;
      tokenField.focus();
    }
    tell("This server has a token: type it in above. It stays in the memory of this page.", true);
  }
  return answer;
}

/** Reads both lists; again, if something happened meanwhile. False: that could not be done. */
function read() {
  reading ??= (async () => {
    const began = performance.now();
    try {
      for (let tries = 0; tries < 4; tries++) {
        news = 0;
        const answer = await ask("/tasks");
        if (!answer.ok) return false;
        replace(await answer.json());
        if (!news) break;
      }
      return true;
    } catch {
      return false;
    } finally {
      cost = performance.now() - began;
      reading = null;
    }
  })();
  return reading;
}

function replace(lists) {
  const before = active;
  active = new Map();
  for (const [id, ms] of Object.entries(lists.active)) active.set(id, before.get(id) ?? entry(id, ms, "active"));
  if (lastStarted && active.get(lastStarted.id) !== lastStarted) lastStarted = null;
  // Entries that stay keep their elements.
  const known = Map.groupBy ? Map.groupBy(waiting, (one) => one.id) : new Map();
  waiting = new Set(lists.scheduled.flatMap(Object.entries).map(([id, ms]) => known.get(id)?.shift() ?? entry(id, ms, "scheduled")));
  draw();
}

// Events

function first(id) {
  for (const one of waiting) if (one.id === id) return one;
  return entry(id, 0, "scheduled");
}

const happened = {
  scheduled(tasks) {
    for (const task of tasks) waiting.add(entry(task.ID, task.Duration, "scheduled"));
  },
  next(task) {
    first(task.ID).state = "next";
  },
  start(task) {
    const one = first(task.ID);
    waiting.delete(one);
    Object.assign(one, { ms: task.Duration, state: "active", since: performance.now() });
    active.set(one.id, lastStarted = one);
  },
  done(task) {
    active.delete(task.ID);
    if (lastStarted?.id === task.ID) lastStarted = null;
  },
};

function hear(text) {
  const said = JSON.parse(text);
  for (const [name, about] of Object.entries(said)) {
    if (Object.hasOwn(happened, name)) {
      news += 1;
      happened[name](about);
      draw();
    }
  }
}

// Staying up to date

function state(name, text) {
  connection.dataset.state = name;
  connection.textContent = text;
}

const later = (ms) => new Promise((done) => setTimeout(done, ms));

/** Follows the events until the socket closes. False: it never opened. */
function listen() {
  return new Promise((closed) => {
    const socket = new WebSocket(location.origin.replace(/^http/, "ws") + "/ws");
    let opened = false, calm;
    socket.addEventListener("message", (event) => hear(event.data));
    socket.addEventListener("open", async () => {
      opened = true;
      await read();
      if (socket.readyState !== WebSocket.OPEN) return;
      state("live", "Live");
      // What was told while the lists were on their way may be in them or not: this sets it right.
      calm = setInterval(() => news && !document.hidden && cost < 250 && read(), 5000);
    });
    socket.addEventListener("close", () => {
      clearInterval(calm);
      closed(opened);
    });
  });
}

async function follow() {
  for (;;) {
    if (document.hidden) await shown();
    const good = await read();
    // A browser cannot send a token with a socket.
    if (good && withSocket && !token() && await listen()) {
      state("lost", "Connecting again …");
      await later(200 + 600 * Math.random());
      continue;
    }
    if (needsToken && !good) {
      state("lost", "Waiting for the token");
      needsToken = false;
      await woken();
    } else {
      state(good ? "polling" : "lost", good ? "Refreshed every second" : "No answer from the server");
      // Long lists take their time: never ask all the time.
      await Promise.race([later(Math.max(1000, 5 * cost)), woken()]);
    }
  }
}

const shown = () => new Promise((done) => document.addEventListener("visibilitychange", done, { once: true }));
const woken = () => new Promise((done) => document.addEventListener("wake", done, { once: true }));
const wake = () => document.dispatchEvent(new Event("wake"));

// Drawing

function draw() {
  if (drawing) return;
  drawing = true;
  const paint = () => {
    drawing = false;
    fill("active", [...active.values()].slice(0, MOST), active.size);
    fill("scheduled", [...take(waiting, MOST)], waiting.size);
  };
  // A page that nobody sees is given no frames.
  if (document.hidden) setTimeout(paint, 200);
  else requestAnimationFrame(paint);
}

function* take(all, most) {
  for (const one of all) {
    if (!most--) return;
    yield one;
  }
}

function fill(name, entries, count) {
  const list = at(`${name}Tasks`), nodes = entries.map(node);
  const wanted = new Set(nodes);
  for (const child of [...list.children]) if (!wanted.has(child)) child.remove();
  let place = list.firstChild;
  for (const one of nodes) {
    if (one === place) place = place.nextSibling;
    else {
      list.insertBefore(one, place);
      // The element is called as its task where that is a name, and nothing else on this page is called so.
      const id = one.dataset.task;
      if (!one.id && /^\S+$/.test(id) && !at(id)) one.id = id;
    }
  }
  at(`${name}Count`).textContent = String(count);
  const more = at(`${name}More`);
  more.hidden = count <= entries.length;
  more.textContent = `… and ${count - entries.length} more`;
}

function node(one) {
  one.node ??= element("li", { "data-task": one.id });
  const text = `${one.id}: ${one.ms} ms`, look = one === lastStarted ? "started" : one.state;
  if (one.node.textContent !== text) one.node.textContent = text;
  const timed = one.since !== null && one.ms > 300 && one.ms < 86_400_000;
  if (timed) one.node.style.setProperty("--ms", `${one.ms}ms`);
  one.node.className = `task ${look}${timed ? " timed" : ""}`;
  one.node.title = look === "started" ? "last started" : look;
  return one.node;
}

// The form

function tell(text, bad = false) {
  message.textContent = text;
  message.dataset.bad = bad ? "yes" : "no";
}

function addRow() {
  const id = element("input", { type: "text", name: "taskID", class: "taskID", "aria-label": "ID", autocomplete: "off", spellcheck: "false" });
  const ms = element("input", { type: "number", name: "taskDuration", class: "taskDuration", "aria-label": "Duration (ms)", step: 1, inputmode: "numeric", autocomplete: "off" });
  const remove = element("button", { type: "button", class: "remove", "aria-label": "Remove this row" }, "Remove");
  const row = element("tr", {}, element("td", {}, id), element("td", {}, ms), element("td", {}, remove));
  remove.addEventListener("click", () => {
    const near = row.nextElementSibling ?? row.previousElementSibling;
    row.remove();
    (near ?? addRow()).querySelector("input").focus();
  });
  rows.append(row);
  return row;
}

rows.addEventListener("keydown", (event) => {
  if (event.key === "Escape") {
    at("submitTasks").focus();
    return;
  }
  const field = event.target.closest("input");
  if (event.key !== "Tab" || !field || event.altKey || event.ctrlKey || event.metaKey) return;
  const row = field.closest("tr");
  const next = event.shiftKey ? row.previousElementSibling : row.nextElementSibling ?? addRow();
  if (next) {
    event.preventDefault();
    next.querySelector(`[name=${field.name}]`).focus();
  }
});

rows.addEventListener("input", (event) => event.target.removeAttribute("aria-invalid"));

/** The filled rows as JSON text, in their order, which an object would not keep. Null: something is missing. */
function written() {
  const members = [], ids = new Set();
  let wrong = null;
  for (const row of rows.rows) {
    const [id, ms] = row.querySelectorAll("input");
    const number = ms.value.trim();
    if (id.value === "" && number === "" && !ms.validity.badInput) continue;
    const faulty = id.value === "" ? id : WHOLE.test(number) ? null : ms;
    if (faulty) {
      faulty.setAttribute("aria-invalid", "true");
      wrong ??= faulty;
    } else {
      ids.add(id.value);
      members.push(`${JSON.stringify(id.value)}:${BigInt(number)}`);
    }
  }
  if (wrong) {
    tell(wrong.name === "taskID" ? "A task needs an ID." : "A duration is a whole number of milliseconds.", true);
    wrong.focus();
    return null;
  }
  if (!members.length) {
    tell("There is no task to submit: fill in an ID and a duration.", true);
    return null;
  }
  return { text: `{${members.join(",")}}`, count: ids.size };
}

at("taskForm").addEventListener("submit", async (event) => {
  event.preventDefault();
  const tasks = written();
  if (!tasks) return;
  at("submitTasks").disabled = true;
  try {
    const answer = await ask("/schedule", { method: "POST", headers: { "Content-Type": "application/json" }, body: tasks.text });
    if (answer.ok) {
      tell(tasks.count === 1 ? "One task was scheduled." : `${tasks.count} tasks were scheduled.`);
      rows.replaceChildren();
      addRow().querySelector("input").focus();
      wake();
    } else if (answer.status !== 401) {
      const text = await answer.text();
      let said = text;
      try {
        said = JSON.parse(text).error ?? text;
      } catch { /* it is plain text */ }
      tell(`Nothing was scheduled: ${said}`, true);
    }
  } catch {
    tell("The server could not be reached; nothing is known of these tasks.", true);
  } finally {
    at("submitTasks").disabled = false;
  }
});

at("addTask").addEventListener("click", () => addRow().querySelector("input").focus());
tokenField.addEventListener("change", () => {
  tell("");
  wake();
});
at("theme").addEventListener("click", () => {
  const root = document.documentElement;
  const dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  root.dataset.theme = dark ? "light" : "dark";
});

addRow();
follow();
