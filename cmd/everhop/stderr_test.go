package main

import (
	"bufio"
	"io"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/everhop/everhop/cmd/everhop/internal/term"
)

// A line waits for its reader until everhop is to stop, and then only briefly.
func TestStandardErrorHurries(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		read, write := io.Pipe()
		defer read.Close() // which ends what is left behind
		stderr := newStandardError(write)
		line := []byte("first\n")
		var took time.Duration
		go func() {
			begin := time.Now()
			if n, err := stderr.Write(line); n != len(line) || err != nil {
				t.Errorf("%d, %v: a logger would complain", n, err)
			}
			took = time.Since(begin)
			copy(line, "XXXXX") // it is the caller's again
		}()
		time.Sleep(time.Hour)
		hurry(stderr)
		hurry(stderr)
		time.Sleep(time.Minute)
		synctest.Wait()
		if took != time.Hour+tellingTime {
			t.Errorf("it took %v", took)
		}
		if text, err := bufio.NewReader(read).ReadString('\n'); text != "first\n" {
			t.Errorf("what was left behind came out as %q, %v", text, err)
		}
	})
}

// Who reads gets everything, also after hurry; and who is gone is an error.
func TestStandardErrorPasses(t *testing.T) {
	w := writes{fails: 3}
	stderr := newStandardError(&w)
	for i, line := range []string{"a\n", "b\n", "c\n"} {
		if _, err := stderr.Write([]byte(line)); (err == syscall.EPIPE) != (i == 2) {
			t.Errorf("%q: %v", line, err)
		}
		if w.got[i] != line {
			t.Errorf("%q is not out", line)
		}
		hurry(term.To(stderr))
	}
	hurry(io.Discard)
	if term.Behind(term.To(stderr)) != io.Writer(&w) {
		t.Error("not what is behind it")
	}
}
