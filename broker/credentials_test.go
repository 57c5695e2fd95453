package broker

import (
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"
)

// A password that changes ends no connection, and the next one logs in with what the file holds then.
func TestRotatedPassword(t *testing.T) {
	path := filepath.Join(t.TempDir(), "password")
	write := func(t *testing.T, password string) {
		if err := os.WriteFile(path, []byte(password+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	synctest.Test(t, func(t *testing.T) {
		server, plan := serve(t)
		server.SetPassword("orders", "first")
		write(t, "first")
		plan.Credentials = PasswordFile("orders", path)
		s := begin(t, plan)

		server.SetPassword("orders", "second")
		if err := s.Probe(t.Context()); err != nil {
			t.Errorf("the connection that there is: %v", err)
		}
		_, err := Open(t.Context(), plan, 8, 0)
		wantError(t, err, Auth, ScopeConnection)

		write(t, "second")
		begin(t, plan)
		synctest.Wait() // until the server is done with the one that it refused
		if c := server.Connections(); len(c) != 2 || c[1].User != "orders" {
			t.Errorf("connections: %+v", c)
		}
	})
}

// The file is read for each endpoint, so that a rotation amid the race does no harm.
func TestPasswordRotatedWhileConnecting(t *testing.T) {
	path := filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(path, []byte("first"), 0o600); err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork()
		n.put(t, "a", mute)
		b := n.put(t, "b")
		b.SetPassword("guest", "first")
		plan := n.plan("a", "b")
		plan.Credentials = PasswordFile("guest", path)
		time.AfterFunc(stagger/2, func() {
			b.SetPassword("guest", "second")
			if err := os.WriteFile(path, []byte("second"), 0o600); err != nil {
				t.Error(err)
			}
		})
		if d := took(func() { begin(t, plan) }); d != stagger {
			t.Errorf("connected after %v, want %v", d, stagger)
		}
	})
}
