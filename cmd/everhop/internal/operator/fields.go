package operator

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
)

// fields are those that a fault or an action has, besides its name: by their names in JSON, with spaces between. What it
// needs is there and not empty, but for those in emptiable.
type fields struct{ needs, may string }

// emptiable are fields in which nothing is something: no permission, any name, a message without a body.
var emptiable = []string{"configure", "write", "read", "pattern", "password", "text"}

// check says what is missing, or given to what has no use for it.
func (f fields) check(name string, given map[string]json.RawMessage) error {
	needs := strings.Fields(f.needs)
	known := append(strings.Fields(f.may), needs...)
	for _, field := range slices.Sorted(maps.Keys(given)) {
		switch {
		case slices.Contains(known, field):
		case len(known) == 0:
			return fmt.Errorf("%s has no field %q, nor any other", name, field)
		default:
			return fmt.Errorf("%s has no field %q; it has %s", name, field, strings.Join(slices.Sorted(slices.Values(known)), ", "))
		}
	}
	for _, field := range needs {
		switch string(given[field]) {
		case "", "null":
			return fmt.Errorf("%s needs %q", name, field)
		case `""`, "[]":
			if !slices.Contains(emptiable, field) {
				return fmt.Errorf("%s needs %q, which is empty", name, field)
			}
		}
	}
	return nil
}

// read reads one JSON object, and tells which fields it gives. It takes none that it does not know: it would be a fault, or
// an action, that is another one than was meant.
func read(r *http.Request, into any) (given map[string]json.RawMessage, err error) {
	text, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.DisallowUnknownFields()
	decoder.UseNumber() // a whole number is one
	if err := decoder.Decode(into); err != nil {
		return nil, err
	}
	if _, err := decoder.Token(); err != io.EOF {
		return nil, errors.New("there is more behind the end of the object")
	}
	return given, json.Unmarshal(text, &given)
}
