// What happened, as it happens.

const mostEvents = 4096, mostShown = 300;
let events = [];

function takeEvent(e) {
  events.push(e);
  if (events.length <= 2 * mostEvents) return;
  const older = events.slice(0, -mostEvents).filter((x) => x.name !== "outcomes"); // of many queues they would push out all else
  events = [...older.slice(-mostEvents / 2), ...events.slice(-mostEvents)];
}

function drawEvents(now) {
  const wanted = $("routine").checked ? events : events.filter((e) => !isRoutine(e));
  const list = wanted.slice(-mostShown).reverse();
  keyed($("events"), list, (e) => `${e.run} ${e.seq} ${e.kind}`, (e) => {
    const level = levelOf(e);
    const [title, why] = what(e);
    return el("li", { "data-kind": e.kind, "data-name": e.name || e.trigger || "" }, el("time", { datetime: e.time, title: `event ${e.seq}` }, day(e.time, now)),
      el("span", { "data-level": level }, shapes[level]), el("p", {}, title, why ? el("small", {}, ` ${why}`) : ""));
  }, () => {});
}
