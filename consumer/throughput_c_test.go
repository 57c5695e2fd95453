//go:build unix

package consumer_test

import (
	"encoding/json"
	"fmt"
	neturl "net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
)

// librabbitmq is a contestant in C: how far the others are from what can be had. It is there where a C compiler
// and librabbitmq are (on Debian, gcc and librabbitmq-dev).
const librabbitmq = "C, librabbitmq"

// buildInC returns the program, or why there is none.
func buildInC(tb testing.TB) (program string, err error) {
	program = filepath.Join(tb.TempDir(), "librabbitmq")
	source := filepath.Join("..", "testdata", "bench", "librabbitmq.c")
	if output, err := exec.Command("cc", "-O2", "-o", program, source, "-lrabbitmq").CombinedOutput(); err != nil {
		return "", fmt.Errorf("it cannot be built (on Debian: apt-get install gcc librabbitmq-dev): %w\n%s", err, output)
	}
	return program, nil
}

// playInC is a heat of the contestant in C.
func (a *arena) playInC(h heat) (s score) {
	a.Helper()
	u, err := neturl.Parse(h.URL)
	if err != nil {
		a.Fatal(err)
	}
	password, _ := u.User.Password()
	output, err := exec.CommandContext(a.Context(), a.inC, u.Hostname(), u.Port(), u.User.Username(), password, "/", h.Queue,
		strconv.Itoa(h.Messages)).Output()
	if err == nil {
		err = json.Unmarshal(output, &s)
	}
	if err != nil {
		a.Fatalf("%s: %v\n%s", librabbitmq, err, output)
	}
	return s
}

func TestThroughputInC(t *testing.T) {
	a := inProcess(t)
	var err error
	if a.inC, err = buildInC(t); err != nil {
		missing := t.Skip
		if os.Getenv("EVERHOP_TEST_REQUIRE") == "1" {
			missing = t.Fatal
		}
		missing("no ", librabbitmq, ": ", err)
	}
	if s := a.play(librabbitmq, 1000); s.Acks != (1000+batch-1)/batch || s.CPU <= 0 || s.Elapsed <= 0 {
		t.Errorf("got %+v", s)
	}
}
