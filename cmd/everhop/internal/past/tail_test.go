package past

import (
	"context"
	"errors"
	"io"
	"os"
	"testing"
	"testing/synctest"
	"time"

	"github.com/everhop/everhop/cmd/everhop/internal/past/pasttest"
)

// tail waits for more, and ends as soon as it is told to.
func TestTail(t *testing.T) {
	file, err := os.Open(pasttest.NewFile(t, "log", "one"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	synctest.Test(t, func(t *testing.T) {
		ctx, interrupt := context.WithCancel(t.Context())
		begin, text := time.Now(), make(chan string, 1)
		input := &tail{ctx: ctx, file: file}
		go func() {
			all, err := io.ReadAll(input)
			text <- string(all)
			if err != nil {
				t.Error(err)
			}
		}()
		synctest.Wait() // it has come to the end
		more, err := os.OpenFile(file.Name(), os.O_APPEND|os.O_WRONLY, 0)
		if err != nil {
			t.Fatal(err)
		}
		_, err = more.WriteString(", two")
		if err := errors.Join(err, more.Close()); err != nil {
			t.Fatal(err)
		}
		time.Sleep(150 * time.Millisecond)
		synctest.Wait() // it has come to the end again
		interrupt()
		if got := <-text; got != "one, two" || time.Since(begin) != 150*time.Millisecond {
			t.Errorf("%q after %v", got, time.Since(begin))
		}
	})
}

// A log that is rotated goes on in its place, whether it was moved away or cut.
func TestTailOfARotatedLog(t *testing.T) {
	for name, rotate := range map[string]func(path string) error{
		"moved": func(path string) error {
			return errors.Join(os.Rename(path, path+".1"), os.WriteFile(path, []byte("new"), 0o600))
		},
		"cut": func(path string) error { return os.WriteFile(path, []byte("new"), 0o600) },
	} {
		t.Run(name, func(t *testing.T) {
			path := pasttest.NewFile(t, "log", "before")
			file, err := os.Open(path)
			if err != nil {
				t.Fatal(err)
			}
			input := &tail{ctx: t.Context(), file: file}
			defer input.Close()
			text := make([]byte, 9)
			if n, err := io.ReadAtLeast(input, text, 6); n != 6 || err != nil {
				t.Fatal(n, err)
			}
			if err := rotate(path); err != nil {
				t.Fatal(err)
			}
			if _, err := io.ReadFull(input, text[6:]); err != nil || string(text) != "beforenew" {
				t.Errorf("%q, %v", text, err)
			}
		})
	}
}
