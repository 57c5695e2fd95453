// Package glass shows what consumers do now, to people: once, or live.
//
//	/status of one consumer or several
//	      │ Ask: one look, with what went wrong
//	      ▼
//	    Look ──► findings: troubles, those of several queues once ──► page ──► Page: once
//	      │                                                          └───► Watch: again and again
//	      └──── two of them: rates
//
// What is the matter is decided by consumer/health (Document.Troubles), as on its page; the sign in front of a queue, the
// headline and the order of everything follow from it. A sign is a word or a mark, never a colour alone.
package glass
