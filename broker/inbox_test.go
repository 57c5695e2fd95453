package broker

import (
	"slices"
	"sync"
	"testing"
	"testing/synctest"
)

func deliveriesOf(tags ...uint64) (all []*Delivery) {
	for _, tag := range tags {
		all = append(all, &Delivery{DeliveryTag: tag})
	}
	return all
}

func TestInboxKeepsTheOrder(t *testing.T) {
	in := newInbox()
	in.setOpen(true)
	next, want := uint64(0), uint64(0)
	for _, n := range []int{1, 3, 2, 100, 7, 0, 1000} { // what is left between them grows
		for range n {
			next++
			in.put(deliveriesOf(next, next+1))
			next++
		}
		for range n {
			want++
			if d := in.take(nil); d.DeliveryTag != want {
				t.Fatalf("took %d, want %d", d.DeliveryTag, want)
			}
		}
	}
	in.setOpen(false)
	for want < next {
		want++
		if d := in.take(nil); d == nil || d.DeliveryTag != want {
			t.Fatalf("took %+v, want %d", d, want)
		}
	}
	if d := in.take(nil); d != nil {
		t.Errorf("took %+v of nothing", d)
	}
}

func TestInboxKeepsNothingOfWhatWasTaken(t *testing.T) {
	in := newInbox()
	in.put(deliveriesOf(1, 2, 3))
	in.take(nil)
	in.put(deliveriesOf(4, 5, 6, 7, 8, 9)) // makes room
	for range 4 {
		in.take(nil)
	}
	for _, d := range slices.Concat(in.waiting[:in.taken], in.waiting[len(in.waiting):cap(in.waiting)]) {
		if d != nil {
			t.Errorf("%d is still there", d.DeliveryTag)
		}
	}
}

// TestInboxWakesThoseWhoSleep: whatever ends a wait ends it for all, and one delivery wakes one.
func TestInboxWakesThoseWhoSleep(t *testing.T) {
	for name, test := range map[string]struct {
		event func(*inbox)
		left  int // of five who sleep
	}{
		"nothing":        {func(*inbox) {}, 5},
		"a delivery":     {func(in *inbox) { in.put(deliveriesOf(1)) }, 4},
		"three at once":  {func(in *inbox) { in.put(deliveriesOf(1, 2, 3)) }, 2},
		"cancelled":      {func(in *inbox) { in.setOpen(false) }, 0},
		"with some left": {func(in *inbox) { in.put(deliveriesOf(1)); in.setOpen(false) }, 0},
		"ended":          {func(in *inbox) { in.end() }, 0},
		"ended at last":  {func(in *inbox) { in.put(deliveriesOf(1)); in.end(); in.put(deliveriesOf(2)) }, 0},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				in := newInbox()
				in.setOpen(true)
				stop := make(chan struct{})
				var group sync.WaitGroup
				for range 5 {
					group.Go(func() { in.take(stop) })
				}
				synctest.Wait()
				test.event(in)
				synctest.Wait()
				if in.sleepers != test.left {
					t.Errorf("%d sleep, want %d", in.sleepers, test.left)
				}
				close(stop)
				group.Wait()
			})
		})
	}
}

// TestInboxStoppedOneWakesAnother: who was woken, and is stopped, must not keep the others asleep.
func TestInboxStoppedOneWakesAnother(t *testing.T) {
	for range 2000 {
		in := newInbox()
		in.setOpen(true)
		stop := make(chan struct{})
		var stopped, other sync.WaitGroup
		var taken [2]*Delivery
		stopped.Go(func() { taken[0] = in.take(stop) })
		other.Go(func() { taken[1] = in.take(nil) })
		go close(stop)
		in.put(deliveriesOf(1))
		stopped.Wait()
		if taken[0] != nil {
			in.put(deliveriesOf(2))
		}
		other.Wait() // or it hangs
	}
}

func TestInboxManyTakeEachOnce(t *testing.T) {
	const deliveries, takers = 20_000, 8
	in := newInbox()
	in.setOpen(true)
	var group sync.WaitGroup
	took := make([][]uint64, takers)
	for i := range takers {
		group.Go(func() {
			for d := in.take(nil); d != nil; d = in.take(nil) {
				took[i] = append(took[i], d.DeliveryTag)
			}
		})
	}
	for tag := uint64(1); tag <= deliveries; tag += 4 {
		in.put(deliveriesOf(tag, tag+1, tag+2, tag+3))
	}
	in.setOpen(false)
	group.Wait()
	for i := range took {
		if !slices.IsSorted(took[i]) {
			t.Error("one taker's are out of order")
		}
	}
	all := slices.Sorted(slices.Values(slices.Concat(took...)))
	if len(all) != deliveries || len(slices.Compact(all)) != deliveries {
		t.Errorf("%d were taken, of %d", len(all), deliveries)
	}
}
