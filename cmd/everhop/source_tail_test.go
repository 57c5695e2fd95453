package main

import (
	"context"
	"errors"
	"io"
	"os"
	"testing"
	"testing/synctest"
	"time"
)

// tail waits for more, and ends as soon as it is told to.
func TestTail(t *testing.T) {
	file, err := os.Open(newFile(t, "log", "one"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	synctest.Test(t, func(t *testing.T) {
		ctx, interrupt := context.WithCancel(t.Context())
		begin, text := time.Now(), make(chan string, 1)
		input := &tail{ctx, file}
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
