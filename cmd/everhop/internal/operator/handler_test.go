package operator

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/everhop/everhop/broker/brokertest"
)

// desk is a server, its control, and a client that holds a connection open.
type desk struct {
	*testing.T
	server  *brokertest.Server
	control *httptest.Server
}

func newDesk(t *testing.T) desk {
	server, err := brokertest.Start(brokertest.Config{}) // the test is not to fail with what is refused
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Close)
	control := httptest.NewServer(Handler(server))
	t.Cleanup(control.Close)
	return desk{t, server, control}
}

func (d desk) ask(method, path, body string) (status int, answer string) {
	d.Helper()
	r, err := http.NewRequest(method, d.control.URL+path, strings.NewReader(body))
	if err != nil {
		d.Fatal(err)
	}
	response, err := d.control.Client().Do(r)
	if err != nil {
		d.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		d.Fatal(err)
	}
	return response.StatusCode, strings.TrimSpace(string(text))
}

func (d desk) want(method, path, body, want string) {
	d.Helper()
	if status, got := d.ask(method, path, body); status != 200 || got != want {
		d.Errorf("%s %s %s: %d %s, want %s", method, path, body, status, got, want)
	}
}

func (d desk) acts(body string) {
	d.Helper()
	d.want("POST", "/actions", body, `{"done":true}`)
}

func (d desk) refuses(method, path, body, want string) {
	d.Helper()
	if status, got := d.ask(method, path, body); status != 400 || !strings.Contains(got, want) {
		d.Errorf("%s %s %s: %d %s, want 400 %s", method, path, body, status, got, want)
	}
}

func TestFaultWaits(t *testing.T) {
	d := newDesk(t)
	d.want("POST", "/faults", `{"fault":"hang-up","at":{"connect":true}}`, `{"id":1,"played":false}`)
	d.want("GET", "/faults/1", "", `{"id":1,"played":false}`)
	d.want("GET", "/faults/1?wait=1ms", "", `{"id":1,"played":false}`)
	go func() {
		if conn, err := d.server.Dial(t.Context(), "tcp", ""); err == nil {
			defer conn.Close()
			_, _ = conn.Read(make([]byte, 1)) // the end
		}
	}()
	d.want("GET", "/faults/1?wait=1m", "", `{"id":1,"played":true}`)
	d.want("POST", "/faults", `{"fault":"reset"}`, `{"id":2,"played":true}`)
}

func TestFaultsRefused(t *testing.T) {
	d := newDesk(t)
	for body, want := range map[string]string{
		`{`:                          "unexpected EOF",
		`{"fault":"reset","att":{}}`: "unknown field",
		`{"fault":"explode"}`:        `there is no fault \"explode\"; there are alarm, block,`,
		`{"fault":"drop"}`:           "it needs OnFrame or OnMethod",
		`{"fault":"reset","at":{"name":"nobody"}}`:             "there is no such connection",
		`{"fault":"reset","at":{"method":"basic.shout"}}`:      "has no method",
		`{"fault":"reset","at":{"frame":true,"connect":true}}`: "at has one of",
		`{"fault":"freeze","direction":"up"}`:                  "direction is",
		`{"fault":"delay","after":"soon"}`:                     "after is",
		`{"fault":"limit"}`:                                    `limit needs \"count\"`,
	} {
		d.refuses("POST", "/faults", body, want)
	}
	d.refuses("GET", "/faults/1", "", "there is no fault")
	d.refuses("POST", "/actions", `{"action":"explode"}`, `there is no action \"explode\"; there are accept-connections,`)
	d.refuses("POST", "/actions", `{"action":"publish","queue":"nowhere","bodies":["1"]}`, "no queue")
}

// Every fault can be made, and has a name of its own.
func TestFaultsAreAllThere(t *testing.T) {
	seen := map[string]string{}
	for _, name := range Names() {
		_, what, err := Fault{Name: name, Count: 1}.parse(given(faults[name].needs))
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if other, twice := seen[what.String()]; twice {
			t.Errorf("%s is %s, as %s is", name, what, other)
		}
		seen[what.String()] = name
		first, _, _ := strings.Cut(what.String(), "(")
		if got := strings.ToLower(strings.ReplaceAll(name, "-", "")); name != "nothing" && name != "delete-vhost" && got != strings.ToLower(first) {
			t.Errorf("%s is %s", name, what)
		}
	}
}

func TestPublishAndLook(t *testing.T) {
	d := newDesk(t)
	if err := d.server.DeclareQueue("q", nil); err != nil {
		t.Fatal(err)
	}
	d.want("GET", "/connections", "", "[]")
	d.want("GET", "/ignored", "", "[]")
	d.acts(`{"action":"publish","queue":"q","bodies":["1","2"]}`)
	_, text := d.ask("GET", "/queues", "")
	var queues []brokertest.QueueState
	if err := json.Unmarshal([]byte(text), &queues); err != nil || len(queues) != 1 || queues[0].Ready != 2 {
		t.Errorf("%s: %v", text, err)
	}
}

func TestUndo(t *testing.T) {
	d := newDesk(t)
	dial := func() bool {
		conn, err := d.server.Dial(t.Context(), "tcp", "")
		if err == nil {
			conn.Close()
		}
		return err == nil
	}
	for what, undo := range map[string]string{"stop-app": "start-app", "refuse-connections": "accept-connections"} {
		d.ask("POST", "/faults", fmt.Sprintf(`{"fault":%q}`, what))
		if dial() {
			t.Errorf("%s: let in", what)
		}
		d.acts(fmt.Sprintf(`{"action":%q}`, undo))
		if !dial() {
			t.Errorf("%s is not undone", what)
		}
	}
	d.want("POST", "/faults", `{"fault":"alarm","text":"low on disk"}`, `{"id":3,"played":true}`)
	d.acts(`{"action":"clear-alarm","text":"low on disk"}`)
}

func TestManagement(t *testing.T) {
	d := newDesk(t)
	conn, err := net.Dial("tcp", d.server.Addr())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := d.server.Await(t.Context(), func() bool { return len(d.server.Connections()) == 1 }); err != nil { // it has been accepted
		t.Fatal(err)
	}
	_, text := d.ask("GET", "/api/connections/", "")
	var all []managed
	if err := json.Unmarshal([]byte(text), &all); err != nil || len(all) != 1 || !strings.HasSuffix(all[0].Name, " -> "+d.server.Addr()) {
		t.Fatalf("%s: %v", text, err)
	}
	if status, _ := d.ask("DELETE", "/api/connections/"+url.PathEscape(all[0].Name), ""); status != 204 {
		t.Errorf("status %d", status)
	}
	_ = conn.SetReadDeadline(time.Now().Add(time.Minute))
	if _, err := io.Copy(io.Discard, conn); err != nil { // it was closed before it was open: without a word
		t.Error(err)
	}
	if status, _ := d.ask("DELETE", "/api/connections/nobody", ""); status != 404 {
		t.Errorf("status %d", status)
	}
}
