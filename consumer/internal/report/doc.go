// Package report tells the caller what happens: by events, which observers see, and by lines of the log. Nobody who has
// something to tell ever waits for the functions and writers of the caller's that hear of it.
//
//	                  a feed each
//	fsm.Machine -> Observers --> LogLines ------------------> the caller's Logger
//	                        \--> SyncJournal: fsync                ^
//	                         \-> the caller's observers            |
//	whoever logs -> Lines.Logger -> what waits -> one goroutine ---+
//
// All of these run inside (see package inside): a Stop that they call does not wait for them.
//
// The order at the end: the machine is closed, then Observers.Finish waits for what is left to tell, for a second.
package report
