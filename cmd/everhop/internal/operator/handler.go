package operator

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/everhop/everhop/broker/brokertest"
)

// mostBody is how large a request may be.
const mostBody = 64 << 20

// handler remembers which faults it has injected.
type handler struct {
	server *brokertest.Server
	mu     sync.Mutex
	played []<-chan struct{} // by ID, which counts from 1
}

// Handler answers the requests that the package's documentation tells of.
func Handler(server *brokertest.Server) http.Handler {
	h := &handler{server: server}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /faults", answer(h.inject))
	mux.HandleFunc("GET /faults/{id}", answer(h.wait))
	mux.HandleFunc("POST /actions", answer(h.act))
	mux.HandleFunc("GET /queues", answer(func(*http.Request) (any, error) { return list(server.Queues()), nil }))
	mux.HandleFunc("GET /connections", answer(func(*http.Request) (any, error) { return list(server.Connections()), nil }))
	mux.HandleFunc("GET /settlements", answer(func(*http.Request) (any, error) { return list(server.Settlements()), nil }))
	mux.HandleFunc("GET /ignored", answer(func(*http.Request) (any, error) { return list(server.Ignored()), nil }))
	h.manage(mux)
	return mux
}

// list is one also when it is empty.
func list[T any](items []T) []T {
	if items == nil {
		return []T{}
	}
	return items
}

func answer(do func(*http.Request) (any, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		r.Body = http.MaxBytesReader(w, r.Body, mostBody)
		said, err := do(r)
		w.Header().Set("Content-Type", "application/json")
		if err != nil {
			w.WriteHeader(http.StatusBadRequest)
			said = map[string]string{"error": err.Error()}
		}
		_ = json.NewEncoder(w).Encode(said) // whoever asked may be gone
	}
}

func (h *handler) inject(r *http.Request) (any, error) {
	var f Fault
	given, err := read(r, &f)
	if err != nil {
		return nil, err
	}
	when, what, err := f.parse(given)
	if err != nil {
		return nil, err
	}
	i := h.server.Inject(when, what)
	if i.Err != nil {
		return nil, i.Err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.played = append(h.played, i.Played)
	return map[string]any{"id": len(h.played), "played": isClosed(i.Played)}, nil
}

func isClosed(played <-chan struct{}) bool {
	select {
	case <-played:
		return true
	default:
		return false
	}
}

func (h *handler) wait(r *http.Request) (any, error) {
	id, err := strconv.Atoi(r.PathValue("id"))
	h.mu.Lock()
	if err != nil || id < 1 || id > len(h.played) {
		h.mu.Unlock()
		return nil, fmt.Errorf("there is no fault %q", r.PathValue("id"))
	}
	played := h.played[id-1]
	h.mu.Unlock()
	if text := r.URL.Query().Get("wait"); text != "" {
		d, err := time.ParseDuration(text)
		if err != nil {
			return nil, fmt.Errorf("wait is %q, want a duration such as 1.5s", text)
		}
		timer := time.NewTimer(d)
		defer timer.Stop()
		select {
		case <-played:
		case <-timer.C:
		case <-r.Context().Done():
		}
	}
	return map[string]any{"id": id, "played": isClosed(played)}, nil
}

func (h *handler) act(r *http.Request) (any, error) {
	var a Action
	given, err := read(r, &a)
	if err != nil {
		return nil, err
	}
	return map[string]bool{"done": true}, a.do(h.server, given)
}
