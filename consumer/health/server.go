package health

import (
	"encoding/json"
	"net/http"
	"sync"

	"github.com/everhop/everhop/consumer"
)

// Options of a Server. The zero value is useful.
type Options struct {
	// ReadyWhile are reasons, by their codes, for which /readyz does not fail: consumer.ReasonPaused if a pause is
	// wanted, say. Defaults to none.
	ReadyWhile []string
}

// Server is an http.Handler that shows one consumer. It may be mounted below a path, with http.StripPrefix, that ends in
// a slash. No request of it waits for the consumer, and none is waited for by it.
type Server struct {
	options Options
	events  *Events
	status  func() consumer.Status
	look    func() Document
	handler http.Handler
	once    sync.Once
	closed  chan struct{}
}

// New returns a handler that shows a consumer, with the events that its observer remembers. It listens nowhere.
func New(c *consumer.Consumer, events *Events, options Options) *Server {
	return newServer(c.Status, func() Document { return documentOf(c) }, events, options)
}

func newServer(status func() consumer.Status, look func() Document, events *Events, options Options) *Server {
	s := &Server{options: options, events: events, status: status, look: look, closed: make(chan struct{})}
	mux := http.NewServeMux() // GET means HEAD, too; the rest is answered 405
	mux.HandleFunc("GET /livez", s.livez)
	mux.HandleFunc("GET /readyz", s.readyz)
	mux.HandleFunc("GET /status", func(w http.ResponseWriter, _ *http.Request) { answer(w, s.document()) })
	mux.HandleFunc("GET /status.schema.json", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/schema+json")
		_, _ = w.Write(schema)
	})
	mux.HandleFunc("GET /events", s.stream)
	mux.HandleFunc("GET /history", func(w http.ResponseWriter, _ *http.Request) { answer(w, s.events.past()) })
	mux.HandleFunc("GET /{$}", showPage)
	s.handler = mux
	return s
}

// ServeHTTP answers a request.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	s.handler.ServeHTTP(w, r)
}

// Close ends all streams of events, also those that are yet to begin, which http.Server.Shutdown would wait for: give it to
// RegisterOnShutdown. All else goes on.
func (s *Server) Close() { s.once.Do(func() { close(s.closed) }) }

// document returns what /status answers.
func (s *Server) document() Document {
	d := s.look()
	d.Troubles = troubles(&d, s.events.earlier(d.Time))
	return d
}

func answer(w http.ResponseWriter, v any) {
	object, err := json.Marshal(v)
	if err != nil { // nothing in it can fail
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(append(object, '\n'))
}
