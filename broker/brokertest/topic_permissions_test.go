package brokertest

import (
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

// What a user, or a virtual host, had goes with it.
func TestPermissionsGo(t *testing.T) {
	s := NewInMemoryServer(t)
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
