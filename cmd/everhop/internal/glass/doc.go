// Package glass shows what consumers do now, to people: once, or live.
//
//	/status of one consumer or several
//	      │ Ask: one look, with what went wrong
//	      ▼
//	    Look ──► findings: what is the matter, the worst first ──► page ──► Page: once
//	      │                                                          └───► Watch: again and again
//	      └──── two of them: rates
//
// What is wrong is decided in findings.go, and nowhere else: the sign in front of a queue, the headline and the order of
// everything follow from it. A sign is a word or a mark, never a colour alone.
package glass
