package health

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/everhop/everhop/fsm"
)

const (
	// mostReaders is how many streams of events there may be.
	mostReaders = 32
	// keepAlive is how often a stream says that it is there.
	keepAlive = 15 * time.Second
	// patience is how long a reader may take for what it is sent, until its place is for others.
	patience = time.Minute
)

// stream sends events as they happen (text/event-stream), each in the JSON that a journal has. The id of each is its
// number; Last-Event-ID, or since in the query, is the one to go on behind. Without either it begins with the oldest that
// is remembered.
func (s *Server) stream(w http.ResponseWriter, r *http.Request) {
	seq, err := sinceOf(r)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	wake := make(chan struct{}, 1)
	if !s.events.attach(wake) {
		w.Header().Set("Retry-After", "5")
		http.Error(w, fmt.Sprintf("there are %d readers already", mostReaders), http.StatusServiceUnavailable)
		return
	}
	defer s.events.detach(wake)
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("X-Accel-Buffering", "no") // nginx is to pass it on at once
	if r.Method == http.MethodHead {
		return
	}
	out := &sender{w: w, control: http.NewResponseController(w)}
	out.send("retry: 1000\n\n")
	out.flush()
	tick := time.NewTicker(keepAlive)
	defer tick.Stop()
	for {
		for out.err == nil {
			events := s.events.after(seq)
			if len(events) == 0 {
				break
			}
			for _, e := range events {
				seq = out.event(e)
			}
			out.flush()
		}
		if out.err != nil {
			return
		}
		select {
		case <-wake:
		case <-tick.C:
			out.send(": it is there\n\n")
			out.flush()
		case <-r.Context().Done():
			return
		case <-s.closed:
			return
		}
	}
}

// sinceOf returns the number to go on behind. What a reader had seen last goes before what it was begun with.
func sinceOf(r *http.Request) (uint64, error) {
	text := r.Header.Get("Last-Event-ID")
	if text == "" {
		text = r.URL.Query().Get("since")
	}
	if text == "" {
		return 0, nil
	}
	seq, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		return 0, fmt.Errorf("since: %q is not the number of an event", text)
	}
	return seq, nil
}

// sender writes to a reader, until that fails.
type sender struct {
	w       http.ResponseWriter
	control *http.ResponseController
	err     error
}

// event returns the number to go on behind.
func (s *sender) event(e fsm.Event) uint64 {
	seq := e.LastSeq()
	object, err := json.Marshal(e)
	if err != nil { // nothing in it can fail
		s.err = err
		return seq
	}
	s.send(fmt.Sprintf("id: %d\ndata: %s\n\n", seq, object))
	return seq
}

func (s *sender) send(text string) {
	if s.err != nil {
		return
	}
	_ = s.control.SetWriteDeadline(time.Now().Add(patience)) // not all writers have one
	_, s.err = s.w.Write([]byte(text))
}

func (s *sender) flush() {
	if s.err == nil {
		s.err = s.control.Flush()
	}
}
