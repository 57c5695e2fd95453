// Package fsmtest checks that a journal does what a machine of package fsm relies
// on. The journals of package fsm pass; one of your own should, too:
//
//	func TestMyJournal(t *testing.T) {
//		fsmtest.Journal(t, func(t *testing.T) fsm.Journal { return newMyJournal(t) })
//	}
package fsmtest
