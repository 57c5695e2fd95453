package operator

import (
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
)

// samples are values of all fields that there are, of the right type.
var samples = map[string]string{
	"vhost": `"/"`, "queue": `"q"`, "exchange": `"x"`, "type": `"direct"`, "key": `"k"`, "arguments": `{}`, "bodies": `["1"]`,
	"user": `"guest"`, "password": `"p"`, "configure": `".*"`, "write": `".*"`, "read": `".*"`,
	"policy": `"p"`, "pattern": `"p"`, "apply-to": `"all"`, "priority": `1`, "definition": `{"max-length":1}`, "text": `"t"`,
	"code": `320`, "direction": `"both"`, "after": `"1s"`, "count": `1`, "bytes": `"AA=="`,
}

// object is JSON with a name and some of the samples.
func object(key, name string, given []string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "{%q:%q", key, name)
	for _, field := range given {
		fmt.Fprintf(&b, ",%q:%s", field, samples[field])
	}
	return b.String() + "}"
}

// given is what a request with these fields gives.
func given(fields string) map[string]json.RawMessage {
	all := map[string]json.RawMessage{}
	for _, field := range strings.Fields(fields) {
		all[field] = json.RawMessage(samples[field])
	}
	return all
}

func without[T comparable](all []T, one T) []T {
	return slices.DeleteFunc(slices.Clone(all), func(x T) bool { return x == one })
}

// tags are the names of a type's fields in JSON.
func tags(of any) (names []string) {
	t := reflect.TypeOf(of)
	for i := range t.NumField() {
		names = append(names, t.Field(i).Tag.Get("json"))
	}
	return names
}

// Each fault and each action refuses what it needs and has not, and what is not its own.
func TestFields(t *testing.T) {
	d := newDesk(t)
	for _, kind := range []struct {
		path, key string
		all       []string
		of        map[string]fields
	}{
		{"/actions", "action", without(tags(Action{}), "action"), fieldsOf(actions, func(a action) fields { return a.fields })},
		{"/faults", "fault", without(without(tags(Fault{}), "fault"), "at"), fieldsOf(faults, func(k kind) fields { return k.fields })},
	} {
		for name, f := range kind.of {
			needs := strings.Fields(f.needs)
			own := append(strings.Fields(f.may), needs...)
			for _, field := range own {
				if !slices.Contains(kind.all, field) {
					t.Errorf("%s: nobody can give %q", name, field)
				}
			}
			for _, field := range needs {
				d.refuses("POST", kind.path, object(kind.key, name, without(needs, field)), fmt.Sprintf(`%s needs \"%s\"`, name, field))
			}
			for _, field := range kind.all {
				if !slices.Contains(own, field) {
					d.refuses("POST", kind.path, object(kind.key, name, append(needs, field)), fmt.Sprintf(`%s has no field \"%s\"`, name, field))
				}
			}
		}
	}
	if q := d.server.Queues(); len(q) != 0 {
		t.Errorf("something was done: %+v", q)
	}
}

func fieldsOf[T any](of map[string]T, read func(T) fields) map[string]fields {
	all := map[string]fields{}
	for name, one := range of {
		all[name] = read(one)
	}
	return all
}

// What was not done is not answered with done.
func TestNotDone(t *testing.T) {
	d := newDesk(t)
	d.acts(`{"action":"declare-queue","queue":"q"}`)
	for body, want := range map[string]string{
		`{"action":"publish","queue":"q","bodies":["1"],"exchange":"x","key":"k"}`:                          `publish has no field \"exchange\"`,
		`{"action":"publish","queue":"q","bodies":[]}`:                                                      `publish needs \"bodies\"`,
		`{"action":"publish","queue":"q","bodies":null}`:                                                    `publish needs \"bodies\"`,
		`{"action":"publish","queue":"q","bodies":["1"]} {"action":"publish","queue":"q","bodies":["2"]}`:   "more behind the end",
		`{"action":"publish","queue":"q","bodies":["1"]}]`:                                                  "more behind the end",
		`{"action":"publish","Queue":"q","bodies":["1"]}`:                                                   `publish has no field \"Queue\"`,
		`{"action":"add-vhost","vhost":""}`:                                                                 `add-vhost needs \"vhost\", which is empty`,
		`{"action":"start-app","vhost":"v"}`:                                                                `start-app has no field \"vhost\", nor any other`,
		`{"action":"set-policy","policy":"","pattern":"q","definition":{"max-length":1}}`:                   `set-policy needs \"policy\", which is empty`,
		`{"action":"set-permissions","user":"nobody","configure":"","write":"","read":""}`:                  `there is no user \"nobody\"`,
		`{"action":"set-permissions","user":"guest","vhost":"nowhere","configure":"","write":"","read":""}`: `there is no virtual host \"nowhere\"`,
		`{"action":"clear-permissions","user":"nobody"}`:                                                    `there is no user \"nobody\"`,
		`{"action":"clear-permissions","user":"guest","vhost":"nowhere"}`:                                   `there is no virtual host \"nowhere\"`,
		`{"action":"set-topic-permissions","user":"nobody","exchange":"x","write":"","read":""}`:            `there is no user \"nobody\"`,
		`{"action":"set-topic-permissions","user":"guest","vhost":"w","exchange":"x","write":"","read":""}`: `there is no virtual host \"w\"`,
		`{"action":"clear-topic-permissions","user":"nobody","exchange":"x"}`:                               `there is no user \"nobody\"`,
	} {
		d.refuses("POST", "/actions", body, want)
	}
	for body, want := range map[string]string{
		`{"fault":"reset"}{"fault":"reset"}`:                      "more behind the end",
		`{"fault":"delete-queue","queue":"q","vhost":"/"}`:        `delete-queue has no field \"vhost\"`,
		`{"fault":"delete-queue","queue":""}`:                     `delete-queue needs \"queue\", which is empty`,
		`{"fault":"limit","count":0}`:                             "count is 0",
		`{"fault":"confirm-together","count":0}`:                  "count is 0",
		`{"fault":"nothing","at":{"nth":3}}`:                      "nth of at",
		`{"fault":"nothing","at":{"sent":-1}}`:                    "count from 1",
		`{"fault":"nothing","at":{"method":"basic.ack","of":""}}`: "unknown field",
	} {
		d.refuses("POST", "/faults", body, want)
	}
	if q, _ := d.server.Queue("q"); q.Ready != 0 {
		t.Errorf("something was done: %+v", q)
	}
	d.acts(`{"action":"set-permissions","user":"guest","vhost":"","configure":"","write":"","read":""}`) // nothing is something here
}
