package consumer

import (
	"bytes"
	"context"
	"runtime"
	"sync"
)

// inside knows where a function of the caller's runs that Run waits for: a Stop in there must not wait for Run.
//
// A context says it, to whatever the function does with it. But it is easily forgotten in the place of which a
// context.Background will do; hence the goroutines that call such functions say it, too.
type inside struct {
	goroutines sync.Map // by their numbers
}

// enter says that this goroutine calls functions of the caller's, until leave.
func (i *inside) enter() (leave func()) {
	number := goroutine()
	i.goroutines.Store(number, nil)
	return func() { i.goroutines.Delete(number) }
}

// mark returns a context for such functions.
func (i *inside) mark(ctx context.Context) context.Context { return context.WithValue(ctx, i, true) }

// has tells whether the context, or this goroutine, is inside.
func (i *inside) has(ctx context.Context) bool {
	if ctx.Value(i) != nil {
		return true
	}
	_, here := i.goroutines.Load(goroutine())
	return here
}

// goroutine is the number of this goroutine: nothing but the first line of a stack trace tells it, which is
// "goroutine 18 [running]:".
func goroutine() string {
	var line [40]byte
	fields := bytes.Fields(line[:runtime.Stack(line[:], false)])
	return string(fields[1])
}
