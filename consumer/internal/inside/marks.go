// Package inside tells whether code runs inside a function of the caller's that Run waits for. A Stop in there must not
// wait for Run.
//
//	Run -> Enter -> a handler, an observer, a writer of the log -> Stop -> Has: yes, so it does not wait
//	main -------------------------------------------------------> Stop -> Has: no, so it waits for Run
package inside

import (
	"bytes"
	"context"
	"runtime"
	"sync"
)

// Marks are on the contexts and goroutines of such functions: those that one Run waits for.
//
// A context says it, to whatever the function does with it. But it is easily forgotten in the place of which a
// context.Background will do; hence the goroutines that call such functions say it, too.
//
// The zero value is ready for use. All methods may be called from any goroutine.
type Marks struct {
	goroutines sync.Map // by their numbers
}

// Enter says that this goroutine calls functions of the caller's, until it calls leave.
func (m *Marks) Enter() (leave func()) {
	number := goroutine()
	m.goroutines.Store(number, nil)
	return func() { m.goroutines.Delete(number) }
}

// Context returns one for such functions.
func (m *Marks) Context(ctx context.Context) context.Context { return context.WithValue(ctx, m, true) }

// Has tells whether the context, or this goroutine, is inside.
func (m *Marks) Has(ctx context.Context) bool {
	if ctx.Value(m) != nil {
		return true
	}
	_, here := m.goroutines.Load(goroutine())
	return here
}

// goroutine is the number of this goroutine: nothing but the first line of a stack trace tells it, which is
// "goroutine 18 [running]:".
func goroutine() string {
	var line [40]byte
	fields := bytes.Fields(line[:runtime.Stack(line[:], false)])
	return string(fields[1])
}
