// Package secrets keeps passwords in URLs from being shown.
//
//	arguments ── TakeArgs ──► everhop; others see asterisks in the list of processes
//	text      ── Redact   ──► logs, errors, headers of parked messages
//
// A password that is somewhere else than in a URL is known to neither.
package secrets
