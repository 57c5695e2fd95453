package broker

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestParseEndpoint(t *testing.T) {
	guest := NewCredentials("guest", "guest")
	tests := []struct {
		url  string
		want Endpoint
	}{
		{"amqp://h", Endpoint{host: "h", port: 5672, vhost: "/", credentials: guest}},
		{"amqp://h/", Endpoint{host: "h", port: 5672, vhost: "/", credentials: guest}},
		{"amqps://h", Endpoint{host: "h", port: 5671, vhost: "/", tls: true, credentials: guest}},
		{"amqp://u:p@h:1/v", Endpoint{host: "h", port: 1, vhost: "v", credentials: NewCredentials("u", "p")}},
		{"amqp://u@h:65535", Endpoint{host: "h", port: 65535, vhost: "/", credentials: NewCredentials("u", "guest")}},
		{"amqp://u:@h", Endpoint{host: "h", port: 5672, vhost: "/", credentials: NewCredentials("u", "")}},
		{"amqp://u%40x:p%2F%3F%23%3A@h/%2F", Endpoint{host: "h", port: 5672, vhost: "/", credentials: NewCredentials("u@x", "p/?#:")}},
		{"amqp://h/%2Fv%20w", Endpoint{host: "h", port: 5672, vhost: "/v w", credentials: guest}},
		{"amqp://[::1]:1/v", Endpoint{host: "::1", port: 1, vhost: "v", credentials: guest}},
		{"amqp://h?auth_mechanism=plain", Endpoint{host: "h", port: 5672, vhost: "/", credentials: guest}},
		{"amqps://:@h?auth_mechanism=EXTERNAL", Endpoint{host: "h", port: 5671, vhost: "/", tls: true, external: true}},
		{"amqps://h?auth_mechanism=EXTERNAL", Endpoint{host: "h", port: 5671, vhost: "/", tls: true, external: true, credentials: guest}},
		{"amqps://h/v?cacertfile=/ca&certfile=/c&keyfile=/k&server_name_indication=n", Endpoint{
			host: "h", port: 5671, vhost: "v", tls: true, credentials: guest,
			files: TLSFiles{CA: "/ca", Certificate: "/c", Key: "/k", ServerName: "n"},
		}},
		{"amqps://h?verify=verify_peer", Endpoint{host: "h", port: 5671, vhost: "/", tls: true, credentials: guest}},
		{"amqp://h/v?heartbeat=7&connection_timeout=10000&channel_max=9", Endpoint{
			host: "h", port: 5672, vhost: "v", credentials: guest,
			heartbeat: 7 * time.Second, connectionTimeout: 10 * time.Second, channelMax: 9,
		}},
		{"amqp://h?heartbeat=7&heartbeat=8", Endpoint{host: "h", port: 5672, vhost: "/", credentials: guest, heartbeat: 8 * time.Second}},
	}
	for _, test := range tests {
		t.Run(test.url, func(t *testing.T) {
			got, err := ParseEndpoint(test.url)
			if err != nil {
				t.Fatal(err)
			}
			if got, want := parsed(got), parsed(test.want); got != want {
				t.Errorf("got  %s\nwant %s", got, want)
			}
		})
	}
}

// parsed is all that an endpoint holds.
func parsed(e Endpoint) string {
	password := e.credentials.password.reveal()
	e.credentials.password = secret{}
	return fmt.Sprintf("%+v, password %q", struct{ e Endpoint }{e}, password)
}

func TestParseEndpointErrors(t *testing.T) {
	tests := []struct{ name, url, want string }{
		{"empty", "", "must begin with"},
		{"no scheme", "h:5672", "must begin with"},
		{"other scheme", "http://h", "must begin with"},
		{"no slashes", "amqp:h", "host is missing"},
		{"no host", "amqp:///v", "host is missing"},
		{"user without host", "amqp://u:p@/v", "host is missing"},
		{"port 0", "amqp://h:0", "port must be"},
		{"port 65536", "amqp://h:65536", "port must be"},
		{"port text", "amqp://h:x", "cannot be read"},
		{"bad escape", "amqp://u:%zz@h", "cannot be read"},
		{"control character", "amqp://h\n", "cannot be read"},
		{"fragment", "amqp://h/v#w", "%23"},
		{"bad query", "amqp://h?%zz", "after '?'"},
		{"unknown parameter", "amqp://h?hartbeat=1", `parameter "hartbeat" is not known (known: auth_mechanism, cacertfile, certfile, channel_max, connection_timeout, heartbeat, keyfile, server_name_indication, verify)`},
		{"parameter of others", "amqps://h?depth=2", `parameter "depth", which other clients know, is not supported (supported: auth_mechanism, `},
		{"several unknown parameters: the first", "amqp://h?y=1&x=1&z=1", `"x"`},
		{"heartbeat 0", "amqp://h?heartbeat=0", "heartbeat must be a whole number from 1 to 65535 seconds"},
		{"long heartbeat", "amqp://h?heartbeat=65536", "heartbeat must be"},
		{"heartbeat with a unit", "amqp://h?heartbeat=10s", "heartbeat must be"},
		{"no connection timeout", "amqp://h?connection_timeout=0", "connection_timeout must be a whole number from 1 to 3600000 milliseconds"},
		{"long connection timeout", "amqp://h?connection_timeout=3600001", "connection_timeout must be"},
		{"no channel", "amqp://h?channel_max=0", "channel_max must be a whole number from 1 to 65535"},
		{"many channels", "amqp://h?channel_max=65536", "channel_max must be"},
		{"no verification", "amqps://h?verify=verify_none", "the server is always verified"},
		{"verification without TLS", "amqp://h?verify=verify_peer", "amqps"},
		{"several hosts", "amqp://a,b", "several hosts"},
		{"several hosts with a slash in the password", "amqp://u:1,2/x@a,b", "percent-encoded"},
		{"unknown mechanism", "amqp://h?auth_mechanism=x", "plain or external"},
		{"long virtual host", "amqp://h/" + strings.Repeat("v", 256), "the virtual host: 256 bytes, and 255 is the most"},
		{"virtual host in Latin-1", "amqp://h/%e9", "the virtual host: not UTF-8"},
		{"no user", "amqp://:p@h", "the user name is empty"},
		{"long user", "amqp://" + strings.Repeat("u", 256) + "@h", "the user name: 256 bytes, and 255 is the most"},
		{"user in Latin-1", "amqp://%e9@h", "the user name: not UTF-8"},
		{"NUL in the password", "amqp://u:p%00@h", "a NUL in user name or password"},
		{"NUL in the user", "amqp://u%00:p@h", "a NUL in user name or password"},
		{"files without TLS", "amqp://h?cacertfile=/ca", "amqps"},
		{"slash in the password", "amqp://u:pa/ss@h", "percent-encoded"},
		{"slash in a password of digits", "amqp://u:12/ss@h", "percent-encoded"},
		{"question mark in a password of digits", "amqp://u:12?ss@h", "percent-encoded"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			e, err := ParseEndpoint(test.url)
			if !errors.Is(err, ErrURL) {
				t.Fatalf("got %s and error %v, want ErrURL", e, err)
			}
			if !strings.Contains(err.Error(), test.want) {
				t.Errorf("the error %q does not say %q", err, test.want)
			}
			if e != (Endpoint{}) {
				t.Errorf("an endpoint came with the error: %s", e)
			}
		})
	}
}

func TestParseEndpointsNumbersTheURLs(t *testing.T) {
	_, err := ParseEndpoints("amqp://h", "x", "amqp://h", "y")
	if err == nil || strings.Count(err.Error(), "URL 2:")+strings.Count(err.Error(), "URL 4:") != 2 {
		t.Errorf("got %v, want errors for URL 2 and URL 4", err)
	}
	endpoints, err := ParseEndpoints("amqp://a", "amqps://b")
	if err != nil || fmt.Sprint(endpoints) != "[a:5672 b:5671]" {
		t.Errorf("got %v, %v", endpoints, err)
	}
}

func TestParseEndpointsOfSeveralHosts(t *testing.T) {
	tests := []struct{ url, want string }{
		{"amqp://u:p@a:1,b:2/v", "[a:1 b:2]"},
		{"amqp://a,b:1,c", "[a:5672 b:1 c:5672]"},
		{"amqps://a,b", "[a:5671 b:5671]"},
		{"amqp://u:p@[::1]:1,[fd00::2],10.0.0.1:3/v?heartbeat=7", "[[::1]:1 [fd00::2]:5672 10.0.0.1:3]"},
		{"amqp://u:p,x@a,b", "[a:5672 b:5672]"},
		{"amqp://a,b/v,w?server_name_indication=x,y", ""},
		{"amqp://a,", ""},
		{"amqp://,a", ""},
		{"amqp://a,b:x", ""},
		{"amqp://a,b:0", ""},
		{"amqp://u:1,2/x@a,b", ""},
		{"amqp:a,b", ""},
	}
	for _, test := range tests {
		endpoints, err := ParseEndpoints(test.url)
		switch {
		case test.want == "" && !errors.Is(err, ErrURL):
			t.Errorf("%s: %v, %v; want ErrURL", test.url, endpoints, err)
		case test.want != "" && (err != nil || fmt.Sprint(endpoints) != test.want):
			t.Errorf("%s: %v, %v; want %s", test.url, endpoints, err, test.want)
		}
	}
	endpoints, err := ParseEndpoints("amqps://u:p@a:1,b:2/v,w?heartbeat=7&cacertfile=x,y", "amqp://c")
	if err != nil || len(endpoints) != 3 {
		t.Fatal(endpoints, err)
	}
	for i, e := range endpoints[:2] {
		want := Endpoint{
			host: string("ab"[i]), port: i + 1, vhost: "v,w", tls: true, heartbeat: 7 * time.Second,
			files: TLSFiles{CA: "x,y"}, credentials: NewCredentials("u", "p"),
		}
		if got, want := parsed(e), parsed(want); got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
	}
	if _, err := ParseEndpoints("amqp://a", "amqp://b,c:0"); err == nil || !strings.Contains(err.Error(), "URL 2:") {
		t.Errorf("got %v", err)
	}
}

func FuzzParseEndpoint(f *testing.F) {
	for _, around := range []string{"", "p", "@", ":", "/", "?", "#", "%", "%zz", "p/", "1/", "1?", "1#", "x@y/", "x@y?", "?a=", ",", ",x:", "\n", "[", "]"} {
		f.Add(around, "", "/v?cacertfile=/ca")
		f.Add("", around, "")
		f.Add(around, around, "#")
	}
	f.Fuzz(func(t *testing.T, before, after, rest string) {
		if strings.Contains(rest, sentinel) {
			return
		}
		for _, scheme := range []string{"amqp", "amqps"} {
			text := scheme + "://user:" + before + sentinel + after + "@host" + rest
			all, err := ParseEndpoints(text)
			if text := fmt.Sprintf("%v %+v %#v %v", all, all, all, err); strings.Contains(text, sentinel) {
				t.Fatalf("the endpoints: %s", text)
			}
			e, err := ParseEndpoint(text)
			if err != nil && (!errors.Is(err, ErrURL) || strings.Contains(fmt.Sprintf("%v %#v", err, err), sentinel)) {
				t.Fatalf("the error: %v", err)
			}
			if text := fmt.Sprintf("%v %+v %#v %s", e, struct{ e Endpoint }{e}, e, e); strings.Contains(text, sentinel) {
				t.Fatalf("the endpoint: %s", text)
			}
		}
	})
}

func TestPasswordFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "password")
	provide := PasswordFile("user", path)
	if _, err := provide(context.Background()); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("without the file: %v", err)
	}
	for content, want := range map[string]string{"a": "a", "b\n": "b", "c\r\n": "c", " d ": " d ", "": ""} {
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		got, err := provide(context.Background())
		if password := got.password.reveal(); err != nil || got.username != "user" || password != want {
			t.Errorf("file %q: password %q, %v; want %q", content, password, err, want)
		}
	}
}

func TestErrorText(t *testing.T) {
	e := Endpoint{host: "h", port: 1}
	tests := []struct {
		err  *Error
		want string
	}{
		{newError("dial", ScopeConnection, e, "", errors.New("why")), "broker: dial at h:1: why"},
		{newError("consume", ScopeChannel, e, "q", said(404, "NOT_FOUND - no queue")), `broker: consume (queue "q") at h:1: 404 NOT_FOUND - no queue`},
		{newError("open", ScopeConnection, e, "", fmt.Errorf("x: %w", context.Canceled)), "broker: open at h:1: x: context canceled"},
	}
	for _, test := range tests {
		if got := test.err.Error(); got != test.want {
			t.Errorf("got  %s\nwant %s", got, test.want)
		}
	}
	if !errors.Is(tests[2].err, context.Canceled) {
		t.Error("the cause cannot be reached")
	}
}
