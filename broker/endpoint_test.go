package broker

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
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
		{"unknown parameter", "amqp://h?heartbeat=1", "not known"},
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

func FuzzParseEndpoint(f *testing.F) {
	for _, around := range []string{"", "p", "@", ":", "/", "?", "#", "%", "%zz", "p/", "1/", "1?", "1#", "x@y/", "x@y?", "?a=", "\n", "[", "]"} {
		f.Add(around, "", "/v?cacertfile=/ca")
		f.Add("", around, "")
		f.Add(around, around, "#")
	}
	f.Fuzz(func(t *testing.T, before, after, rest string) {
		if strings.Contains(rest, sentinel) {
			return
		}
		for _, scheme := range []string{"amqp", "amqps"} {
			e, err := ParseEndpoint(scheme + "://user:" + before + sentinel + after + "@host" + rest)
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
