package broker

import (
	"sync"
	"sync/atomic"
)

// routes are the channels whose deliveries are ours, by their numbers. They are looked up for each frame, and
// change when a channel opens or closes.
type routes struct {
	mu    sync.Mutex // of changes
	table atomic.Pointer[[]atomic.Pointer[route]]
}

func (r *routes) get(channel uint16) *route {
	table := r.table.Load()
	if table == nil || int(channel) >= len(*table) {
		return nil
	}
	return (*table)[channel].Load()
}

func (r *routes) set(channel uint16, to *route) {
	r.mu.Lock()
	defer r.mu.Unlock()
	var old []atomic.Pointer[route]
	if table := r.table.Load(); table != nil {
		old = *table
	}
	if int(channel) >= len(old) {
		table := make([]atomic.Pointer[route], max(8, 2*int(channel)))
		for i := range old {
			table[i].Store(old[i].Load())
		}
		r.table.Store(&table)
		old = table
	}
	old[channel].Store(to)
}

// all returns those that there are.
func (r *routes) all() (all []*route) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if table := r.table.Load(); table != nil {
		for i := range *table {
			if to := (*table)[i].Load(); to != nil {
				all = append(all, to)
			}
		}
	}
	return all
}
