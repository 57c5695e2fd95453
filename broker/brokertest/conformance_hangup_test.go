package brokertest_test

import "sync"

// hangUps end with a socket that the broker closes without another frame. RabbitMQ takes 3 s for most of
// them, and so they wait together.
var hangUps = []struct {
	name  string
	cause func(*wire)
}{
	{"wrong password, untold", func(w *wire) { w.start(); w.startOK("PLAIN", "\x00guest\x00wrong") }},
	{"unknown user, untold", func(w *wire) { w.start(); w.startOK("PLAIN", "\x00nobody\x00guest") }},
	{"malformed response", func(w *wire) { w.start(); w.startOK("PLAIN", "guest", toldOfFailures...) }},
	{"empty response", func(w *wire) { w.start(); w.startOK("PLAIN", "", toldOfFailures...) }},
	{"mechanism that is not configured", func(w *wire) { w.start(); w.startOK("EXTERNAL", "", toldOfFailures...) }},
	{"unknown mechanism", func(w *wire) { w.start(); w.startOK("OTHER", "x", toldOfFailures...) }},
	{"channel_max beyond the offer", func(w *wire) { w.tune(); w.tuneOK(2048, 131072, 60) }},
	{"channel_max without a limit", func(w *wire) { w.tune(); w.tuneOK(0, 131072, 60) }},
	{"frame_max beyond the offer", func(w *wire) { w.tune(); w.tuneOK(2047, 131073, 60) }},
	{"frame_max without a limit", func(w *wire) { w.tune(); w.tuneOK(2047, 0, 60) }},
	{"frame_max too small", func(w *wire) { w.tune(); w.tuneOK(2047, 4095, 60) }},
	{"after a frame error", func(w *wire) {
		w.open(2047, 131072, 0)
		w.send([]byte{frameHeartbeat, 0, 0, 0, 0, 0, 0, 1})
		w.wantCode(501)
	}},
}

var toldOfFailures = []any{"capabilities", byte('F'), long(encode("authentication_failure_close", byte('t'), byte(1)))}

func hangUp(c *client) {
	var all sync.WaitGroup
	for _, h := range hangUps {
		w := c.wire()
		h.cause(w)
		all.Go(func() {
			if err := w.hungUp(); err != nil {
				c.Errorf("%s: %v", h.name, err)
			}
		})
	}
	all.Wait()
}
