// Package fsmtest checks that a journal does what a machine of package fsm relies
// on. An [fsm.Ring] and the journal of package fsm/journal pass; one of your own
// should, too:
//
//	func TestMyJournal(t *testing.T) {
//		fsmtest.Journal(t, func(t *testing.T) fsm.Journal { return newMyJournal(t) })
//	}
package fsmtest
