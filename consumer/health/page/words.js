// How numbers, times and events are said.

const shapes = { bad: "\u2716", warn: "\u25B2", note: "\u25C6", ok: "\u2714", none: "\u25CB" };
const levels = ["bad", "warn", "note", "ok"];

const number = (n) => n.toLocaleString("en");
const plural = (n, one, many) => `${number(n)} ${n === 1 ? one : many}`;

// ms says a duration in the units in which people think of it.
function ms(d) {
  if (d < 0.9995) return `${Math.max(0, Math.round(d * 1000))} \u00B5s`;
  if (d < 9.95) return `${+d.toFixed(1)} ms`;
  if (d < 999.5) return `${Math.round(d)} ms`;
  const s = d / 1000;
  if (s < 9.95) return `${s.toFixed(1)} s`;
  if (s < 59.5) return `${Math.round(s)} s`;
  const min = Math.round(s / 60);
  if (min < 60) return `${min} min`;
  if (min < 48 * 60) return `${Math.floor(min / 60)} h` + (min % 60 ? ` ${min % 60} min` : "");
  return `${Math.round(min / 60 / 24)} d`;
}
const ns = (d) => ms(d / 1e6);

const pad = (n) => String(n).padStart(2, "0");
const clock = (t) => { const d = new Date(t); return `${pad(d.getHours())}:${pad(d.getMinutes())}:${pad(d.getSeconds())}`; };

// day says the day, too, unless it is today's.
function day(t, now) {
  const d = new Date(t);
  const at = clock(t);
  return d.toDateString() === new Date(now).toDateString() ? at : `${d.getFullYear()}-${pad(d.getMonth() + 1)}-${pad(d.getDate())} ${at}`;
}

const since = (t, now) => `since ${ms(Math.max(0, now - Date.parse(t)))}`;

// ageOf says for how long a trouble has been there, and what becomes of it.
function ageOf(t, now) {
  const parts = [];
  if (t.since) parts.push(since(t.since, now));
  if (t.until) parts.push(`${ms(Math.max(0, now - Date.parse(t.until)))} ago`);
  if (t.attempt) parts.push(`attempt ${t.attempt}`);
  if (t.next_attempt) {
    const left = Date.parse(t.next_attempt) - now;
    parts.push(left > 0 ? `next in ${ms(left)}` : "trying now");
  }
  return parts.join(", ");
}

const named = (t) => (t.queue ? `${t.queue}: ` : "") + t.word;

const failures = new Set(["ConnectionError", "ChannelError", "HeartbeatFailed", "ReviveFailed", "FatalError", "RetriesExhausted", "ProcessRestarted"]);
const loud = new Set(["apart", "apart_lost", "apart_failed", "given_up", "breaker_open", "blocked", "stalled", "overdue", "saved", "parked", "dead_lettered", "permanent", "timed_out", "panicked", "clock_set_back", "loss_while_reviving"]);

function levelOf(e) {
  if (e.kind === "transition") return failures.has(e.trigger) ? "bad" : e.trigger === "Connected" || e.trigger === "Revived" ? "ok" : "none";
  if (e.kind === "note") return loud.has(e.name) || e.class ? "warn" : "note";
  return e.kind === "gap" || e.kind === "rejected" ? "warn" : "none";
}

// isRoutine tells of what happens all the time when nothing does: idle checks, and what became of a minute's messages.
const isRoutine = (e) => e.kind === "cycle" || e.trigger === "DrainTimeout" || e.trigger === "HeartbeatOK" || e.name === "outcomes";

// what says what happened, and why.
function what(e) {
  let title = e.kind;
  if (e.kind === "transition") title = `${e.from} \u2192 ${e.to}: ${e.trigger}`;
  else if (e.kind === "cycle") title = `${plural(e.count / 2, "idle check was answered", "idle checks were answered")}`;
  else if (e.name) title = e.name.replaceAll("_", " ");
  const why = [];
  if (e.queue) why.push(e.queue);
  if (e.message_id) why.push(`message ${e.message_id}`);
  if (e.endpoint) why.push(e.endpoint);
  if (e.class) why.push(e.class + (e.code ? ` ${e.code}` : ""));
  if (e.attempt) why.push(`attempt ${e.attempt}`);
  if (e.backoff_ms) why.push(`next after ${ms(e.backoff_ms)}`);
  if (e.silence_ms) why.push(`silent for ${ms(e.silence_ms)}`);
  if (e.error) why.push(e.error);
  if (e.note) why.push(e.note);
  return [title, why.join(" \u00B7 ")];
}
