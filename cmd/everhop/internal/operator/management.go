package operator

import (
	"encoding/json"
	"fmt"
	"net/http"

	"github.com/everhop/everhop/broker/brokertest"
)

// managed is a connection as RabbitMQ's management plugin has it, as far as test suites look at it.
type managed struct {
	Name             string         `json:"name"`
	User             string         `json:"user"`
	Host             string         `json:"vhost"`
	State            string         `json:"state"`
	Channels         int            `json:"channels"`
	ClientProperties map[string]any `json:"client_properties"`
}

// nameOf is what RabbitMQ calls a connection.
func nameOf(c brokertest.ConnectionState, server *brokertest.Server) string {
	return c.Peer + " -> " + server.Addr()
}

// manage answers those requests of RabbitMQ's management plugin by which test suites look for connections and close them.
// No password is asked for.
func (h *handler) manage(mux *http.ServeMux) {
	mux.HandleFunc("GET /api/connections/{$}", h.managed)
	mux.HandleFunc("GET /api/connections", h.managed)
	mux.HandleFunc("DELETE /api/connections/{name}", h.closeManaged)
}

func (h *handler) managed(w http.ResponseWriter, _ *http.Request) {
	all := []managed{}
	for _, c := range h.server.Connections() {
		state := "running"
		if c.Blocked {
			state = "blocked"
		}
		all = append(all, managed{nameOf(c, h.server), c.User, c.VirtualHost, state, c.Channels, c.ClientProperties})
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(all) // whoever asked may be gone
}

func (h *handler) closeManaged(w http.ResponseWriter, r *http.Request) {
	for _, c := range h.server.Connections() {
		if nameOf(c, h.server) == r.PathValue("name") {
			h.server.Inject(brokertest.Now().On(c.ID), brokertest.CloseConnection(320, "Closed via management plugin"))
			w.WriteHeader(http.StatusNoContent)
			return
		}
	}
	http.Error(w, fmt.Sprintf(`{"error":"Object Not Found","reason":"no connection %q"}`, r.PathValue("name")), http.StatusNotFound)
}
