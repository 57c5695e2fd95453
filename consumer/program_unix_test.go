//go:build unix

package consumer_test

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/everhop/everhop/broker/brokertest"
)

// TestProgram runs the README's program as a user would: an order comes in, then a signal. A Windows process
// cannot send one to itself.
func TestProgram(t *testing.T) {
	for _, signal := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM} {
		t.Run(signal.String(), func(t *testing.T) {
			server := brokertest.NewServer(t)
			if err := server.DeclareQueue("orders", nil); err != nil {
				t.Fatal(err)
			}
			if err := server.Publish("orders", "a book"); err != nil {
				t.Fatal(err)
			}
			defer func(before string) { url = before }(url)
			url = server.URL()
			printed, logged := redirected(t, &os.Stdout), redirected(t, &os.Stderr)
			go func() {
				_ = server.Await(t.Context(), func() bool { return len(server.Settlements()) == 1 })
				self, _ := os.FindProcess(os.Getpid())
				_ = self.Signal(signal)
			}()
			Example()
			if text := printed(); text != "a book\n" {
				t.Errorf("it printed %q", text)
			}
			if text := logged(); !strings.Contains(text, " -> Disconnected: Stop") || !strings.Contains(text, `"time":"20`) {
				t.Errorf("it logged\n%s", text)
			}
			if q, _ := server.Queue("orders"); q.Ready+q.Unacknowledged+q.Consumers != 0 {
				t.Errorf("left at the broker: %+v", q)
			}
		})
	}
}

// redirected has a standard stream written to a file until the test ends; text returns what is in it.
func redirected(t *testing.T, stream **os.File) (text func() string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "stream")
	file, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	before := *stream
	*stream = file
	t.Cleanup(func() {
		*stream = before
		file.Close()
	})
	return func() string { return read(t, path) }
}
