// Status each second and at each event, and what is said while there is none.

const patience = 3000, soon = 100;
let doc = null, past = null, heard = 0, ahead = 0, isLost = false;
let asking = false, again = false, historyDue = true, eventsDue = true;

const now = () => Date.now() + ahead; // by the server's clock

async function ask(path) {
  const response = await fetch(path, { cache: "no-store", signal: AbortSignal.timeout(patience) });
  if (!response.ok) throw new Error(`${path}: ${response.status}`);
  return response.json();
}

// look asks once at a time; who wants it meanwhile gets another look.
async function look() {
  if (asking) { again = true; return; }
  asking = true;
  try {
    const wantsHistory = historyDue || !past;
    historyDue = false;
    const [status, history] = await Promise.all([ask("status"), wantsHistory ? ask("history") : past]);
    ahead = Date.parse(status.time) - Date.now();
    doc = status;
    past = history;
    heard = Date.now();
    isLost = false;
    measure(doc);
  } catch {
    isLost = true;
    historyDue = true;
  }
  asking = false;
  draw();
  if (again) { again = false; setTimeout(look, soon); }
}

function drawHeadline() {
  const all = doc.troubles;
  const worst = all.find((t) => t.level !== "note") || (doc.ready ? undefined : all[0]);
  const n = doc.subscriptions.length;
  let level = "ok", words = n === 1 ? `${doc.subscriptions[0].queue || doc.subscriptions[0].named}: it is consumed` : `All ${number(n)} queues are consumed`, age = "", why = "";
  if (worst) {
    level = worst.level;
    words = named(worst);
    age = ageOf(worst, now());
    why = worst.text || "";
  } else if (!doc.ready || !doc.alive) {
    const reason = (doc.not_alive || doc.not_ready)[0];
    level = doc.alive ? "note" : "bad";
    words = reason.text;
    age = reason.since ? since(reason.since, now()) : "";
  } else if (all.length) {
    words = `${n === 1 ? "It is" : `All ${number(n)} queues are`} consumed or as somebody wants it`;
  }
  mark($("headline-box"), "data-level", level);
  text($("shape"), shapes[level]);
  text($("headline"), words);
  said = words;
  text($("age"), age);
  text($("why"), why && `\u2014 ${why}`);
  text($("said"), [words, why].filter(Boolean).join(", ")); // without times, or it would be read each second
  document.title = `${shapes[level]} ${words.slice(0, 80)} \u2013 ${doc.name}`;

  const groups = new Map(); // the same trouble of many queues is said once
  for (const t of all) {
    if (t === worst) continue;
    const key = `${t.level} ${t.word}`;
    if (!groups.has(key)) groups.set(key, []);
    groups.get(key).push(t);
  }
  const shown = [...groups.values()].slice(0, 8);
  keyed($("more"), shown, (list) => `${list[0].level} ${list[0].word}`, () => el("li"), (node, list) => {
    mark(node, "data-level", list[0].level);
    const one = list[0];
    const more = list.length > 1 ? ` and ${plural(list.length - 1, "other", "others")}` : "";
    text(node, `${shapes[one.level]} ${one.queue ? `${one.queue}${more}: ` : ""}${one.word}${list.length === 1 && one.text ? ` \u2014 ${one.text}` : ""}`);
  });
}

let said = ""; // the headline of the last contact

// drawLoss leaves what is shown as it is, and says that it is old.
function drawLoss() {
  if (!doc) return;
  const since = `No contact since ${clock(heard)}`;
  mark($("headline-box"), "data-level", "none");
  text($("shape"), shapes.none);
  text($("headline"), `${since}. What was known then: ${said}`);
  text($("said"), since);
  text($("age"), "");
  text($("why"), "");
  document.title = `${since} \u2013 ${doc.name}`;
}

function draw() {
  mark(document.body, "class", isLost ? "old" : "");
  mark($("contact"), "data-lost", isLost ? "" : null);
  text($("contact"), isLost ? (heard ? `No contact since ${clock(heard)}: what is shown is old` : "No contact yet") : `\u25CF live, ${clock(now())}`);
  if (isLost) {
    drawLoss();
    return;
  }
  text($("name"), doc.name);
  text($("state"), `${doc.state}, ${since(doc.since, now())}`);
  text($("about"), `${doc.ready ? "ready" : "not ready"}, ${doc.alive ? "alive" : "not alive"}, everhop ${doc.version}`);
  drawHeadline();
  drawTimeline(past, events, now());
  drawRows(doc, now());
  drawConnections(doc, now());
  const graph = JSON.stringify([past.states, past.edges, doc.state]);
  if (graph !== $("graph").drawn) {
    $("graph").drawn = graph;
    drawGraph(past, doc.state);
  }
  if (eventsDue) {
    eventsDue = false;
    drawEvents(now());
  }
}

// listen follows the events. A server that comes back may have another log: then they are all told again.
function listen() {
  const source = new EventSource("events");
  let isFirst = true;
  source.onopen = () => { look(); };
  source.onmessage = (message) => {
    if (isFirst) { events = []; isFirst = false; }
    takeEvent(JSON.parse(message.data));
    eventsDue = historyDue = true;
    if (!wake) wake = setTimeout(() => { wake = 0; look(); }, soon);
  };
  source.onerror = () => {
    source.close();
    setTimeout(listen, 1000);
    look();
  };
}
let wake = 0;

const redraw = () => { if (doc && !isLost) draw(); };
drawRanges(redraw);
$("filter").addEventListener("input", redraw);
$("idle").addEventListener("change", () => { eventsDue = true; redraw(); });
setInterval(look, 1000);
look();
listen();
