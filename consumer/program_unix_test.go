//go:build unix

package consumer_test

import (
	"io"
	"os"
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
			stdout := os.Stdout
			r, w, err := os.Pipe()
			if err != nil {
				t.Fatal(err)
			}
			os.Stdout = w
			go func() {
				_ = server.Await(t.Context(), func() bool { return len(server.Settlements()) == 1 })
				self, _ := os.FindProcess(os.Getpid())
				_ = self.Signal(signal)
			}()
			Example()
			os.Stdout = stdout
			w.Close()
			printed, err := io.ReadAll(r)
			if err != nil || string(printed) != "a book\n" {
				t.Errorf("it printed %q, %v", printed, err)
			}
			if q, _ := server.Queue("orders"); q.Ready+q.Unacknowledged+q.Consumers != 0 {
				t.Errorf("left at the broker: %+v", q)
			}
		})
	}
}
