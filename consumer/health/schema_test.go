package health_test

import (
	"bytes"
	"encoding/json"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/everhop/everhop/consumer"
	"github.com/everhop/everhop/consumer/health"
)

// schemaOf compiles what a server says its documents are like.
func schemaOf(t *testing.T, server *health.Server) *jsonschema.Schema {
	t.Helper()
	document, err := jsonschema.UnmarshalJSON(get(server, "/status.schema.json").Body)
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	c.AssertFormat()
	if err := c.AddResource("document.schema.json", document); err != nil {
		t.Fatal(err)
	}
	schema, err := c.Compile("document.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	return schema
}

// decoded is a document as a validator has it.
func decoded(t *testing.T, document []byte) map[string]any {
	t.Helper()
	value, err := jsonschema.UnmarshalJSON(bytes.NewReader(document))
	if err != nil {
		t.Fatal(err)
	}
	return value.(map[string]any)
}

// full is a document in which each member is there.
func full() health.Document {
	d := made(morning, 4)
	unconsumed(&d, 0, "not_found", "no queue")
	d.Connections[0].BlockedSince, d.Connections[0].BlockedReason = morning, "low on memory"
	d.Subscriptions[1].Named = "amq.gen-1"
	d.NotAlive = []consumer.Reason{{Code: consumer.ReasonStuck, Text: "nothing for 31 s", Since: morning}}
	d.Subscriptions[1].Until = morning
	d.Stalls = consumer.Stalls{Count: 1, Last: morning, Took: 42e9}
	d.Publisher = publisher(morning)
	d.Publisher.Stats.BlockedSince = morning
	d.Publisher.BlockedReason, d.Publisher.Attempt, d.Publisher.Error = "low on memory", 2, "refused"
	return d
}

func TestSchema(t *testing.T) {
	served := func(d health.Document) (*health.Server, []byte) {
		server := health.NewServer(fixed(d), health.NewEvents(), health.Options{})
		return server, get(server, "/status").Body.Bytes()
	}
	empty := health.Document{Status: consumer.Status{State: consumer.Disconnected, Connections: []consumer.ConnectionStatus{}},
		Subscriptions: []consumer.SubscriptionStatus{}}
	documents := []health.Document{empty, full()}
	for _, c := range eight {
		d := made(morning, 10)
		c.make(&d)
		documents = append(documents, d)
	}
	for _, d := range documents {
		server, document := served(d)
		if err := schemaOf(t, server).Validate(decoded(t, document)); err != nil {
			t.Errorf("%s\n%v", document, err)
		}
	}

	// The other way: a member that the schema does not have is refused, everywhere, and one that is there is described.
	server, document := served(full())
	schema := schemaOf(t, server)
	tree := decoded(t, document)
	var walk func(path string, value any)
	walk = func(path string, value any) {
		switch value := value.(type) {
		case map[string]any:
			value["surprise"] = "!"
			if err := schema.Validate(tree); err == nil {
				t.Errorf("%s may have any member", path)
			}
			delete(value, "surprise")
			for name, member := range value {
				walk(path+"/"+name, member)
			}
		case []any:
			for _, element := range value {
				walk(path+"/", element)
			}
		}
	}
	walk("", tree)

	// And a schema does not describe what a full document does not have.
	var described struct {
		Properties map[string]any `json:"properties"`
		Defs       map[string]struct {
			Properties map[string]any `json:"properties"`
		} `json:"$defs"`
	}
	if err := json.Unmarshal(get(server, "/status.schema.json").Body.Bytes(), &described); err != nil {
		t.Fatal(err)
	}
	compare := func(what string, described map[string]any, values ...any) {
		for name := range described {
			found := false
			for _, value := range values {
				_, ok := value.(map[string]any)[name]
				found = found || ok
			}
			if !found {
				t.Errorf("%s has no %q", what, name)
			}
		}
	}
	compare("the document", described.Properties, tree)
	for name, values := range map[string][]any{
		"connection": tree["connections"].([]any), "subscription": tree["subscriptions"].([]any), "trouble": tree["troubles"].([]any),
		"stalls": {tree["stalls"]}, "publishing": {tree["publisher"].(map[string]any)["stats"]},
		"stats": {tree["subscriptions"].([]any)[0].(map[string]any)["stats"]}, "handling": {tree["subscriptions"].([]any)[0].(map[string]any)["handling"]},
		"reason": append(tree["not_ready"].([]any), tree["not_alive"].([]any)...), "publisher": {tree["publisher"]},
	} {
		compare(name, described.Defs[name].Properties, values...)
	}
}
