// Package doctor finds out why consuming or publishing does not work, or may stop to, and says what to do. It is what
// 'everhop doctor' does.
//
//	for each endpoint        name ── port ── TLS ── login ── virtual host ── broker
//	at the first that opens                                      ├─ permissions, alarms
//	                                                             ├─ queue
//	                                                             └─ round trip
//	besides                  management     host: journal, command, open files, clock
//
// Each check gives one [Finding] or several. One that fails stops only what needs it, and that says so. Nothing is
// changed at the broker: what is declared is refused, but for a temporary queue, which is exclusive and deletes itself.
//
//	network.go     names, addresses, ports
//	tls.go         TLS and certificates; which protocol a port speaks
//	login.go       login, virtual host, permissions
//	broker.go      versions, what was negotiated, alarms, the round trip
//	queue.go       the queue, and what it means for its consumers
//	management.go  what only the management plugin knows
//	host.go        this machine: the journal, the command, open files
package doctor
