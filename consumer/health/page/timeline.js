// The last hours on a line: when it consumed, and when not and why.

const ranges = [["15 min", 15], ["1 h", 60], ["6 h", 360], ["24 h", 1440], ["7 d", 10080]].map(([name, min]) => [name, min * 60000]);
let range = 0; // nobody has chosen one
let chosen = null; // the outage that is told in full, by its begin

const kinds = { up: ["up", "consuming"], down: ["begin", "connecting"], stopped: ["halt", "stopped"] };

// fitting returns the shortest range that shows all there is, up to six hours.
function fitting(past, now) {
  const age = past.from ? now - Date.parse(past.from) : 0;
  return (ranges.slice(0, 3).find(([, length]) => length >= age) || ranges[2])[1];
}

function drawRanges(redraw) {
  $("ranges").append(...ranges.map(([name, length]) => {
    const button = el("button", { type: "button", "data-length": length }, name);
    button.addEventListener("click", () => { range = length; redraw(); });
    return button;
  }));
  const sign = (kind, name) => el("span", {}, el("i", { class: kind }), name);
  $("legend").append(sign("up", "consuming"), sign("down", "\u25BC outage: choose one for its cause"), sign("begin", "connecting"), sign("halt", "stopped"), el("span", {}, "\u25C6 note"), el("span", { id: "sum" }));
}

function drawTimeline(past, events, now) {
  const length = range || fitting(past, now);
  const begin = now - length;
  const where = (t) => Math.min(100, Math.max(0, (t - begin) / length * 100));
  const place = (node, from, to) => { node.style.left = `${where(from)}%`; node.style.width = `${where(to) - where(from)}%`; };
  for (const button of $("ranges").children) mark(button, "aria-pressed", String(Number(button.dataset.length) === length));

  const spans = past.spans.map((s, i) => ({ is: "span", key: `s${s.begin}${s.kind}`, kind: s.kind, from: Date.parse(s.begin), to: i + 1 < past.spans.length ? Date.parse(past.spans[i + 1].begin) : now }));
  const outages = past.outages.map((o) => ({ is: "outage", key: `o${o.begin}`, o, from: Date.parse(o.begin), to: o.end ? Date.parse(o.end) : now }));
  const marks = events.filter((e) => e.kind === "note" && levelOf(e) === "warn").slice(-200).map((e) => ({ is: "mark", key: `m${e.seq}${e.run}`, e, from: Date.parse(e.time), to: Date.parse(e.time) }));
  keyed($("track"), [...spans, ...outages, ...marks].filter((x) => x.to >= begin), (x) => x.key, (x) => {
    if (x.is === "span") return el("div", { class: `span ${kinds[x.kind][0]}`, title: kinds[x.kind][1] });
    if (x.is === "mark") return el("div", { class: "mark", title: what(x.e).join(": ") }, "\u25C6");
    const button = el("button", { type: "button" }, el("i", { class: "down" }));
    button.addEventListener("click", () => { chosen = chosen === x.o.begin ? null : x.o.begin; drawOutage(past, now); drawTimeline(past, events, now); });
    return button;
  }, (node, x) => {
    place(node, x.from, x.to);
    if (x.is !== "outage") return;
    node.style.left = `min(${node.style.left}, 100% - .75rem)`; // as wide as it is at least
    mark(node, "aria-expanded", String(chosen === x.o.begin));
    mark(node, "aria-label", `Outage at ${day(x.o.begin, now)}${x.o.end ? ` for ${ms(x.o.duration_ms)}` : ", not over"}: ${causeOf(x.o)}`);
    mark(node, "title", node.getAttribute("aria-label"));
  });

  const step = length / 6;
  keyed($("axis"), [...Array(6).keys()], (i) => i, () => el("span"), (node, i) => {
    node.style.left = `${(i + 0.5) / 6 * 100}%`;
    const t = begin + (i + 0.5) * step;
    text(node, length > 2 * 86400000 ? day(t, 0).slice(5, 16) : clock(t).slice(0, 5));
  });
  const sum = [plural(past.outage_count, "outage", "outages") + " so far"];
  if (past.availability !== undefined) sum.push(`consuming ${+(Math.floor(past.availability * 1e6) / 1e4).toFixed(3)} % of the time`);
  text($("sum"), sum.join(", "));
  drawOutage(past, now);
}

const causeOf = (o) => [o.class || o.trigger || "unknown", o.code || ""].join(" ").trim().replaceAll("_", " ");

// drawOutage tells the chosen one.
function drawOutage(past, now) {
  const o = past.outages.find((x) => x.begin === chosen);
  $("outage").hidden = !o;
  if (!o) return;
  const told = facts([
    ["began", day(o.begin, now)], ["ended", o.end ? day(o.end, now) : "it is not over"],
    ["lasted", ms(o.end ? o.duration_ms : now - Date.parse(o.begin))], ["cause", causeOf(o)], ["error", o.error], ["queue", o.queue],
    ["endpoint", o.endpoint], ["attempts", o.attempts], ["ended by", o.ending],
    ["not recorded", o.unrecorded_ms ? `${ms(o.unrecorded_ms)} of it: the process ended without a stop` : ""],
  ]);
  if ($("outage").textContent !== told.textContent) $("outage").replaceChildren(told);
}
