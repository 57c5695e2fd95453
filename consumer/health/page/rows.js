// The queues, the worst first, and the connections.

const kept = 120; // seconds of rates
const rates = []; // by subscription: {at, done, list}
const done = (s) => s.acknowledged + s.rejected + s.delayed + s.parked + s.saved;

function measure(doc) {
  const now = Date.parse(doc.time);
  doc.subscriptions.forEach((s, i) => {
    const count = done(s.stats);
    let r = rates[i];
    if (!r || r.queue !== s.queue || count < r.done) r = rates[i] = { queue: s.queue, at: now, done: count, list: [] };
    const seconds = (now - r.at) / 1000;
    if (seconds < 0.8) return; // an event had it looked at sooner
    r.list.push((count - r.done) / seconds);
    if (r.list.length > kept) r.list.shift();
    r.at = now;
    r.done = count;
  });
  rates.length = doc.subscriptions.length;
}

// rate is that of the last seconds.
function rate(i) {
  const list = rates[i].list.slice(-5);
  return list.length ? list.reduce((a, b) => a + b, 0) / list.length : undefined;
}
const perSecond = (r) => (r === undefined ? "\u2013" : r >= 99.5 ? number(Math.round(r)) : r >= 9.95 || r === 0 ? String(Math.round(r)) : r.toFixed(1));

function spark(list) {
  const top = Math.max(...list, 1e-9);
  const x = (i) => (kept - list.length + i) / (kept - 1) * 100;
  return list.map((r, i) => `${i ? "L" : "M"}${x(i).toFixed(1)},${(19 - r / top * 18).toFixed(1)}`).join("");
}

const doings = { consuming: ["ok", "consuming"], reviving: ["warn", "not consumed yet"], given_up: ["bad", "given up"], paused: ["note", "paused"], breaker: ["bad", "breaker open"], stopping: ["note", "stopping"], stopped: ["note", "stopped"] };

// judge finds the worst trouble of each queue: the first that names it.
function judge(doc) {
  const first = new Map();
  for (const t of doc.troubles) if (t.queue && !first.has(t.queue)) first.set(t.queue, t);
  const isAway = doc.connections.some((c) => c.home && !c.open);
  return doc.subscriptions.map((s, i) => {
    const queue = s.queue || s.named || "(not named yet)";
    const trouble = first.get(queue);
    let [level, word] = doings[s.doing] || ["note", s.doing];
    if (s.doing === "reviving" && isAway && !s.apart) word = "waits for the broker";
    if (trouble && levels.indexOf(trouble.level) < levels.indexOf(level)) [level, word] = [trouble.level, trouble.word];
    return { s, i, queue, trouble, level, word, isAway };
  }).sort((a, b) => levels.indexOf(a.level) - levels.indexOf(b.level) || a.i - b.i);
}

const outcomeNames = [["acknowledged", "handled"], ["failed", "failed"], ["parked", "parked"], ["rejected", "rejected"], ["delayed", "delayed"], ["saved", "saved"], ["kept", "kept"], ["requeued", "put back"], ["returned_unstarted", "returned"], ["deduplicated", "known"], ["stale", "stale"]];
const outcomes = (s) => outcomeNames.filter(([name]) => s[name]).map(([name, word]) => `${number(s[name])}\u00A0${word.replace(" ", "\u00A0")}`).join(" \u00B7 ") || "none yet";

function makeRow() {
  const cell = (label, name = "n") => el("td", { class: name, "data-label": label });
  const path = svg("path");
  const doing = el("td", { class: "doing" }, el("b"), el("small"));
  const row = el("tr", {}, el("th", { scope: "row" }), doing, cell("msg/s"), cell("in flight"), cell("waiting"), cell("oldest", "n oldest"), cell("", "counts"),
    cell("p50"), cell("p95"), cell("p99"),
    el("td", { class: "spark-cell", "data-label": "last 2 min" }, svg("svg", { class: "spark", viewBox: "0 0 100 20", preserveAspectRatio: "none", role: "img" }, svg("path", { class: "base", d: "M0,19.5 L100,19.5" }), path)));
  row.parts = [...row.children];
  row.path = path;
  return row;
}

function updateRow(row, { s, i, queue, trouble, level, word, isAway }, now) {
  const [name, doing, perS, flight, waiting, oldest, counts, p50, p95, p99, sparkCell] = row.parts;
  mark(row, "data-level", level);
  mark(row, "data-queue", queue);
  text(name, queue);
  text(doing.firstChild, `${shapes[level]} ${word}`);
  mark(doing.firstChild, "data-level", level);
  const why = trouble ? [trouble.text, ageOf(trouble, now)] : s.doing === "consuming" ? [] : [isAway ? "" : s.why, s.since ? since(s.since, now) : ""];
  text(doing.lastChild, why.filter(Boolean).join(", "));
  text(perS, perSecond(rate(i)));
  text(flight, `${number(s.in_flight)} of ${number(s.concurrency)}`);
  text(waiting, number(s.waiting) + (s.aside ? ` + ${number(s.aside)} aside` : ""));
  text(oldest, s.oldest_in_flight ? ms(Math.max(0, now - Date.parse(s.oldest_in_flight))) : "\u2013");
  row.classList.toggle("hung", Boolean(trouble && trouble.word === "handler hangs"));
  text(counts, outcomes(s.stats));
  for (const [cell, value] of [[p50, s.handling.p50_ns], [p95, s.handling.p95_ns], [p99, s.handling.p99_ns]]) text(cell, s.handling.calls ? ns(value) : "\u2013");
  mark(row.path, "d", spark(rates[i].list));
  mark(sparkCell.firstChild, "aria-label", `at most ${perSecond(Math.max(0, ...rates[i].list))} messages a second in the last two minutes`);
}

function drawRows(doc, now) {
  const all = judge(doc);
  const wanted = $("filter").value.trim().toLowerCase();
  const list = wanted ? all.filter((x) => `${x.queue} ${x.word}`.toLowerCase().includes(wanted)) : all;
  keyed($("rows"), list, (x) => x.i, makeRow, (row, x) => updateRow(row, x, now));
  const ill = all.filter((x) => x.level === "bad" || x.level === "warn").length;
  const many = wanted ? `${number(list.length)} of ${plural(all.length, "queue", "queues")}` : plural(all.length, "queue", "queues");
  text($("shown"), many + (ill ? `, ${number(ill)} in trouble` : ""));
}

function card(level, title, pairs) {
  return el("div", { class: "card" }, el("h3", {}, el("span", { "data-level": level }, `${shapes[level]} `), title), facts(pairs));
}

function drawConnections(doc, now) {
  const cards = doc.connections.map((c) => card(!c.open ? "bad" : c.blocked_since || c.error ? "warn" : "ok",
    `${c.home ? "Shared" : "Apart"}: ${c.open ? c.endpoint : "no connection"}`, [
      [c.open ? "open" : "away", c.since ? since(c.since, now) : ""],
      ["blocked", c.blocked_since ? `${since(c.blocked_since, now)}${c.blocked_reason ? `: ${c.blocked_reason}` : ""}` : ""],
      ["silent for", c.open ? ns(c.silence_ns) : ""],
      ["attempt", c.attempt ? ageOf({ attempt: c.attempt, next_attempt: c.next_attempt }, now).replace("attempt ", "") : ""],
      ["error", c.error], ["class", c.class], ["consumed here", plural(c.subscriptions, "queue", "queues")], ["generation", c.generation || ""],
    ]));
  const p = doc.publisher;
  if (p) {
    cards.push(card(p.state === "Publishing" ? "ok" : p.state === "Disconnected" ? "note" : "bad", `Publisher: ${p.endpoint || "no connection"}`, [
      ["state", `${p.state}, ${since(p.since, now)}`], ["blocked", p.blocked_reason], ["attempt", p.attempt ? ageOf({ attempt: p.attempt, next_attempt: p.next_attempt }, now).replace("attempt ", "") : ""], ["error", p.error],
      ["messages", ["confirmed", "unconfirmed", "waiting", "refused", "unroutable", "not_sent", "not_known", "resent"].filter((n) => p.stats[n]).map((n) => `${number(p.stats[n])} ${n.replace("_", " ").replace("resent", "sent again")}`).join(" \u00B7 ") || "none yet"],
      ["oldest unconfirmed", p.oldest_unconfirmed ? ms(Math.max(0, now - Date.parse(p.oldest_unconfirmed))) : ""],
    ]));
  }
  if (!cards.length) cards.push(el("p", { class: "empty" }, "There is none yet."));
  $("cards").replaceChildren(...cards);
}
