// The lifecycle, drawn from its table: where it is, and how often each transition was taken.

const places = { Disconnected: [120, 50], Connecting: [490, 50], Consuming: [490, 260], Reviving: [120, 260], HeartbeatCheck: [490, 470] };
const box = [150, 54];
// Where a straight line would lead through something else.
const detours = { "HeartbeatCheck Disconnected": "M412,484 C150,510 14,420 14,270 C14,180 30,120 70,79", "Reviving Reviving": "M80,288 C60,340 150,340 130,290" };
const labelsAt = { "HeartbeatCheck Disconnected": [215, 478], "Reviving Reviving": [104, 342] };

// border is where the way from one point to a state's middle reaches its box.
function border([x, y], [cx, cy]) {
  const dx = x - cx, dy = y - cy;
  const scale = 1 / Math.max(Math.abs(dx) / (box[0] / 2 + 2), Math.abs(dy) / (box[1] / 2 + 2), 1e-9);
  return [cx + dx * scale, cy + dy * scale];
}

const at = (a, b, c, t) => a.map((_, i) => (1 - t) ** 2 * a[i] + 2 * t * (1 - t) * b[i] + t ** 2 * c[i]);

// route returns the way of an edge, and where its label stands; edges in both directions pass one another.
function route(from, to, isPair) {
  const key = `${from} ${to}`;
  if (detours[key]) return [detours[key], labelsAt[key]];
  const a = places[from], b = places[to];
  const length = Math.hypot(b[0] - a[0], b[1] - a[1]);
  const bend = isPair ? 46 : 0;
  const middle = [(a[0] + b[0]) / 2 + (b[1] - a[1]) / length * bend, (a[1] + b[1]) / 2 - (b[0] - a[0]) / length * bend];
  const start = border(middle, a), end = border(middle, b);
  const label = at(start, middle, end, isPair || a[0] === b[0] || a[1] === b[1] ? 0.5 : 0.26);
  if (isPair) { label[0] += (b[1] - a[1]) / length * 46; label[1] -= (b[0] - a[0]) / length * 18; }
  return [`M${start.map(Math.round)} Q${middle.map(Math.round)} ${end.map(Math.round)}`, label];
}

function drawGraph(past, state) {
  const known = past.states.filter((s) => places[s.name]);
  const edges = new Map();
  for (const e of past.edges) {
    if (!places[e.from] || !places[e.to]) continue;
    const key = `${e.from} ${e.to}`;
    if (!edges.has(key)) edges.set(key, []);
    edges.get(key).push(e);
  }
  const lines = [], labels = [];
  for (const [key, list] of edges) {
    const [from, to] = key.split(" ");
    const taken = list.filter((e) => e.count > 0);
    const failed = taken.some((e) => e.failure);
    const [way, where] = route(from, to, edges.has(`${to} ${from}`) && from !== to);
    const tip = list.map((e) => `${e.trigger}: ${e.doc}`).join("\n");
    const kind = taken.length ? failed ? "failure" : "" : "never";
    lines.push(svg("path", { class: `edge ${kind}`, d: way, "marker-end": `url(#arrow-${kind || "some"})` }, svg("title", {}, `${from} to ${to}\n${tip}`)));
    const texts = taken.flatMap((e) => [e.trigger, `${number(e.count)} \u00D7, after ${e.p50_ms ? ms(e.p50_ms) : "< 1 ms"}`]);
    texts.forEach((line, i) => labels.push(svg("text", {
      class: `label${failed ? " failure" : ""}`, x: where[0], y: where[1] + (i - (texts.length - 1) / 2) * 14 + 4,
    }, line)));
  }
  const nodes = known.map((s) => {
    const [x, y] = places[s.name];
    const isNow = s.name === state;
    const mood = s.name === "Reviving" ? " down" : s.name === "Consuming" || s.name === "HeartbeatCheck" ? " up" : "";
    return svg("g", { class: isNow ? `now${mood}` : "", "data-state": s.name, "aria-current": isNow ? "true" : undefined },
      svg("rect", { x: x - box[0] / 2, y: y - box[1] / 2, width: box[0], height: box[1], rx: 10 }),
      svg("text", { x, y: y - 3 }, (isNow ? "\u25B6 " : "") + s.name),
      svg("text", { class: "sub", x, y: y + 16 }, s.time_ms ? `${ms(s.time_ms)} in all` : "never"));
  });
  const arrow = (kind, color) => svg("marker", { id: `arrow-${kind}`, viewBox: "0 0 8 8", refX: 7, refY: 4, markerWidth: 7, markerHeight: 7, orient: "auto", markerUnits: "userSpaceOnUse" },
    svg("path", { d: "M0,0 L8,4 L0,8 z", fill: `var(--${color})` }));
  $("graph").replaceChildren(svg("svg", { viewBox: "0 -12 660 530", role: "img", "aria-label": `The lifecycle: it is ${state}` },
    svg("defs", {}, arrow("some", "dim"), arrow("never", "line"), arrow("failure", "bad")), ...lines, ...labels, ...nodes));
}
