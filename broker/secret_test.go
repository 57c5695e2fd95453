package broker

import (
	"bytes"
	"context"
	"encoding/gob"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"io"
	"log/slog"
	"reflect"
	"strings"
	"testing"
	"testing/synctest"
	"text/template"
	"unsafe"

	"github.com/rs/zerolog"
)

// sentinel is the password that no output may show.
const sentinel = "S3CRET"

// written is every way in which a value may end up in a log.
func written(v any) string {
	var text bytes.Buffer
	for verb := 'A'; verb <= 'z'; verb++ {
		for _, flags := range []string{"", "+", "#", "+#", "-", " ", "0", "30", ".99"} {
			fmt.Fprintf(&text, "%"+flags+string(verb), v)
		}
	}
	for _, encode := range []func(any) error{
		json.NewEncoder(&text).Encode,
		gob.NewEncoder(&text).Encode,
		xml.NewEncoder(&text).Encode,
		func(v any) error { return template.Must(template.New("").Parse("{{.}} {{html .}}")).Execute(&text, v) },
	} {
		_ = encode(v) // what cannot be encoded shows nothing
	}
	for _, handler := range []slog.Handler{slog.NewTextHandler(&text, nil), slog.NewJSONHandler(&text, nil)} {
		slog.New(handler).Info("m", "v", v)
	}
	logger := zerolog.New(&text)
	logger.Info().Interface("v", v).Any("w", v).Msg("m")
	return text.String()
}

// spelled tells whether a text holds the password, in letters or as %x and %d print it.
func spelled(text string) bool {
	text = strings.ToLower(text)
	for _, form := range []string{"%s", "%x", "% x", "%#x", "% #x", "%d", "%b", "%o", "%U"} {
		if form := fmt.Sprintf(form, []byte(sentinel)); strings.Contains(text, strings.ToLower(strings.Trim(form, "[]"))) {
			return true
		}
	}
	return false
}

// held is the value in everything of a user's that may hold it. Fields that are not exported matter most: fmt
// calls no method on what they hold.
func held[T any](v T) map[string]any {
	type exported struct{ V T }
	type unexported struct{ v T }
	type pointer struct{ v *T }
	type boxed struct{ v any }
	type deep struct {
		a struct{ b []map[string]unexported }
	}
	var d deep
	d.a.b = []map[string]unexported{{"k": {v}}}
	return map[string]any{
		"itself":              v,
		"a pointer":           &v,
		"an exported field":   exported{v},
		"an unexported field": unexported{v},
		"a pointer's field":   &unexported{v},
		"a field's pointer":   pointer{&v},
		"an interface":        boxed{v},
		"a boxed pointer":     &boxed{&v},
		"a slice":             []T{v},
		"a slice's field":     []unexported{{v}},
		"an array":            [1]any{v},
		"a map":               map[string]T{"k": v},
		"a map of structs":    map[string]*exported{"k": {v}},
		"deep down":           d,
	}
}

// printed is the holders whose output shows the password.
func printed(t *testing.T, name string, holders map[string]any) {
	t.Helper()
	for holder, v := range holders {
		if spelled(written(v)) {
			t.Errorf("%s: the password shows in %s, e.g. %+v", name, holder, v)
		}
	}
}

func secretPlan(t *testing.T) Plan {
	t.Helper()
	e, err := ParseEndpoint("amqp://user:" + sentinel + "@h")
	if err != nil {
		t.Fatal(err)
	}
	credentials := NewCredentials("user", sentinel)
	if e.credentials.password.reveal() != sentinel || credentials.password.reveal() != sentinel {
		t.Fatal("the password was not kept, so this test tests nothing")
	}
	return Plan{
		Endpoints:   []Endpoint{e},
		Credentials: func(context.Context) (Credentials, error) { return credentials, nil },
	}
}

func TestNothingPrintsThePassword(t *testing.T) {
	plan := secretPlan(t)
	e, credentials := plan.Endpoints[0], NewCredentials("user", sentinel)
	printed(t, "Credentials", held(credentials))
	printed(t, "Endpoint", held(e))
	printed(t, "Plan", held(plan))
	printed(t, "TLSFiles", held(e.files))
	printed(t, "*Error", held(newError("dial", ScopeConnection, e, "q", said(403, "no"))))
	printed(t, "Validate", held(Plan{Endpoints: []Endpoint{e}, Heartbeat: -1}.Validate()))
	printed(t, "the login", held(newLogin(e, credentials, nil)))
	printed(t, "amqp091-go's Config", held(plan.config(e, credentials)))
	if got := fmt.Sprint(credentials, e, plan.Endpoints); got != "user:*** h:5672 [h:5672]" {
		t.Errorf("what may be shown is %s", got)
	}
}

func TestNothingThatWasOpenPrintsThePassword(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server, plan := serve(t)
		server.SetPassword("user", sentinel)
		plan.Credentials = secretPlan(t).Credentials
		plan.Subscriptions = []Subscription{{Declare: &QueueOptions{}, Prefetch: 1}}
		s := begin(t, plan)
		c, err := s.Consume(t.Context(), 0, Intake{})
		if err != nil {
			t.Fatal(err)
		}
		p, err := OpenPublisher(t.Context(), plan)
		if err != nil {
			t.Fatal(err)
		}
		if err := p.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		s.Abort()
		synctest.Wait() // fmt takes no lock, and they would change under it
		for name, v := range map[string]any{"Session": s, "Consumer": c, "Publisher": p} {
			if spelled(written(v)) || spelled(written(struct{ v any }{v})) {
				t.Errorf("the password shows in a %s", name)
			}
		}
	})
}

// Printers other than fmt follow pointers, too, and so does this one.
func TestNoTextIsReachableThatIsThePassword(t *testing.T) {
	plan := secretPlan(t)
	e := plan.Endpoints[0]
	for name, v := range map[string]any{
		"Plan": &plan, "login": newLogin(e, e.credentials, nil), "Config": plan.config(e, e.credentials),
	} {
		var found bytes.Buffer
		texts(&found, reflect.ValueOf(&v).Elem(), map[unsafe.Pointer]bool{})
		if strings.Contains(found.String(), sentinel) || found.Len() == 0 {
			t.Errorf("%s: what reflection finds is %q", name, found.String())
		}
	}
}

// texts writes all text in the value, through pointers and what is not exported.
func texts(w io.Writer, v reflect.Value, seen map[unsafe.Pointer]bool) {
	switch v.Kind() {
	case reflect.String:
		fmt.Fprintln(w, v.String())
	case reflect.Pointer:
		if !v.IsNil() && !seen[v.UnsafePointer()] {
			seen[v.UnsafePointer()] = true
			texts(w, v.Elem(), seen)
		}
	case reflect.Interface:
		if !v.IsNil() {
			texts(w, v.Elem(), seen)
		}
	case reflect.Struct:
		for i := range v.NumField() {
			texts(w, v.Field(i), seen)
		}
	case reflect.Slice, reflect.Array:
		if v.Type().Elem().Kind() == reflect.Uint8 && v.Kind() == reflect.Slice {
			fmt.Fprintln(w, string(v.Bytes()))
			return
		}
		for i := range v.Len() {
			texts(w, v.Index(i), seen)
		}
	case reflect.Map:
		for key, value := range v.Seq2() {
			texts(w, key, seen)
			texts(w, value, seen)
		}
	}
}
