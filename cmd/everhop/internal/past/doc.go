// Package past reads the events that consumers have left in journals and logs, and tells of them: what happened,
// when and why; whether a journal is whole; how often each state was entered.
//
//	Source: journal, log, stream, log that grows
//	   │ events
//	   ├──► Replay.Tell ──► timeline and summary, or the state at a time; in words or as JSON
//	   ├──► Happened    ──► what a drawing of the states shows
//	   └──► (journals)  ──► Verify: the first event that is wrong
//
// What events come to is package history's to say; here it is put into words and laid out for the page, which is
// a terminal of some width, or none.
//
// Three kinds of error are told apart: a [DamagedError] for a journal that is damaged or none, [ErrInterrupted]
// when the context has ended before the end of what was to be read, and all others. An error of the output is
// returned as it is.
package past
