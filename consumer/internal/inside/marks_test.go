package inside

import (
	"context"
	"testing"
)

// Inside are the goroutine that has entered, until it leaves, and whatever has the context; others are not, nor is
// what another Run waits for.
func TestMarks(t *testing.T) {
	var m, other Marks
	here, elsewhere := t.Context(), func(m *Marks, ctx context.Context) (has bool) {
		done := make(chan struct{})
		go func() { defer close(done); has = m.Has(ctx) }()
		<-done
		return has
	}
	if m.Has(here) {
		t.Error("inside, without having entered")
	}
	leave := m.Enter()
	if !m.Has(here) || other.Has(here) || elsewhere(&m, here) {
		t.Errorf("entered: %t, another's %t, elsewhere %t; want only the first", m.Has(here), other.Has(here), elsewhere(&m, here))
	}
	leave()
	if m.Has(here) {
		t.Error("inside, after it has left")
	}
	if ctx := m.Context(here); !elsewhere(&m, ctx) || other.Has(ctx) {
		t.Errorf("by the context: %t, another's %t; want only the first", elsewhere(&m, ctx), other.Has(ctx))
	}
}
