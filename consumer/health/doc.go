// Package health shows a consumer: to an orchestrator that asks how it is, to programs, and to people.
//
//	consumer.Status ──────────────────────► /livez /readyz   200 or 503, as Kubernetes asks
//	      │                            ┌──► /status          JSON, as /status.schema.json describes it
//	      └── what is the matter ──────┤
//	                                   └──► /                a page
//	                                        ▲
//	events ──► Events ─┬────────────────────┼ /history       what they come to, for the page
//	                   └────────────────────┴ /events        as they happen (server-sent events)
//
// A Server is an http.Handler. It listens nowhere by itself, and tells whoever may ask it: names of queues, endpoints and
// errors, but no credential, and nothing that is in a message. So let it listen on loopback, or where only your own can
// reach it.
//
// Troubles are what is the matter, in words, the worst first. A handler hangs if it has been at work for a minute, and for five
// times as long as nearly all calls take. What was parked or rejected in the last 10 minutes is poison.
//
// # Probes
//
// /livez fails if the process should be restarted: the supervisor is stuck, a stop hangs, or Run has returned an error. An
// outage is no reason, however long. /readyz fails unless everything is consumed; Options.ReadyWhile lists what is to be
// taken for ready. Both answer "ok", or 503 with each check on a line; so they do with ?verbose. ?exclude= leaves a check
// out. Neither waits for anything, the journal's disk included.
//
// # Events
//
// /events tells each event in the JSON of the journal; its id is the event's number. It begins with the oldest event
// that is remembered, or behind Last-Event-ID or ?since=. A number that is yet to be reached is of another log, as in
// memory a process's own is: then it begins with the oldest one. What is not remembered any more is told as one event
// of the kind "gap". The newest 4096 events are remembered, idle checks between two others as one (kind "cycle"), and
// "outcomes" only among the newest 1024. There may be 32 readers; one that does not read costs its place for a minute,
// and the consumer nothing.
//
// # What the caller must do
//
//  1. Give Events.Observe to the consumer's Config.Observers. To show what was before this process, give it the events of
//     the journal first, before consumer.New.
//  2. Serve the Server: on a path of its own, or below one that ends in a slash, with http.StripPrefix.
//  3. Give Close to the http.Server's RegisterOnShutdown, or its Shutdown waits for the readers of events.
package health
