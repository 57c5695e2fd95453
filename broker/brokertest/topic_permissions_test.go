package brokertest

import (
	"errors"
	"fmt"
	"strings"
	"testing"
)

func TestTopicPermissionsRefused(t *testing.T) {
	s := NewInMemoryServer(t)
	for _, p := range []TopicPermissions{{Write: "("}, {Read: "("}} {
		if err := s.SetTopicPermissions("guest", "/", "amq.topic", p); err == nil || !strings.Contains(err.Error(), "missing closing") {
			t.Errorf("%+v: %v", p, err)
		}
	}
}

// RabbitMQ, too, asks for the user and the virtual host, and not for the exchange.
func TestPermissionsOfNobody(t *testing.T) {
	s := NewInMemoryServer(t)
	for name, change := range map[string]func(user, host string) error{
		"set permissions":         func(user, host string) error { return s.SetPermissions(user, host, Permissions{".*", ".*", ".*"}) },
		"clear permissions":       s.ClearPermissions,
		"set topic permissions":   func(user, host string) error { return s.SetTopicPermissions(user, host, "later", TopicPermissions{}) },
		"clear topic permissions": func(user, host string) error { return s.ClearTopicPermissions(user, host, "later") },
	} {
		for _, test := range []struct{ user, host, want string }{
			{"guest", "/", "<nil>"},
			{"guest", "", "<nil>"},
			{"nobody", "/", `there is no user "nobody"`},
			{"guest", "nowhere", `there is no virtual host "nowhere"`},
		} {
			if err := change(test.user, test.host); !strings.Contains(fmt.Sprint(err), test.want) {
				t.Errorf("%s of %q in %q: %v, want %s", name, test.user, test.host, err, test.want)
			}
		}
	}
	s.Close()
	if err := s.ClearPermissions("guest", "/"); !errors.Is(err, ErrClosed) {
		t.Errorf("closed: %v", err)
	}
}

// "" stands for the first virtual host, and matches the empty name or key only.
func TestPermissionsEmpty(t *testing.T) {
	s := NewInMemoryServer(t)
	ok(t, s.SetTopicPermissions("guest", "", "amq.topic", TopicPermissions{}))
	g := s.topics[topicExchange{"guest", "/", "amq.topic"}]
	for _, a := range []access{write, read} {
		if g[a] == nil || !g[a].MatchString("") || g[a].MatchString("k") {
			t.Errorf("%s: %v", a, g[a])
		}
	}
}

// What a user, or a virtual host, had goes with it.
func TestPermissionsGo(t *testing.T) {
	s := NewInMemoryServer(t)
	s.SetPassword("ada", "a")
	s.SetPassword("bob", "b")
	everything := Permissions{".*", ".*", ".*"}
	for _, host := range []string{"a", "b"} {
		s.AddVirtualHost(host)
		ok(t, s.SetPermissions("ada", host, everything))
		ok(t, s.SetTopicPermissions("ada", host, "x", TopicPermissions{}))
	}
	ok(t, s.SetTopicPermissions("bob", "b", "x", TopicPermissions{}))
	s.DeleteVirtualHost("a")
	s.AddVirtualHost("a")
	if len(s.topics) != 2 || s.admits("ada", "a") || !s.admits("ada", "b") {
		t.Errorf("%d exchanges, ada may %v", len(s.topics), s.grants["ada"])
	}
	s.DeleteUser("ada")
	if len(s.topics) != 1 {
		t.Errorf("%d exchanges have permissions, want bob's", len(s.topics))
	}
}
