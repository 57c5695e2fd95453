package past

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/everhop/everhop/cmd/everhop/internal/past/pasttest"
	"github.com/everhop/everhop/cmd/everhop/internal/term"
	"github.com/everhop/everhop/consumer"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// ask is what the flags of everhop replay ask for, the path being the first argument; --utc goes without saying.
func ask(t testing.TB, stdin io.Reader, args ...string) *Replay {
	t.Helper()
	r := &Replay{From: Source{Path: args[0], Stdin: stdin}, Zone: time.UTC}
	point := func(text string) TimePoint {
		p, ok := ParseTime(text)
		if !ok {
			t.Fatalf("%q is no time", text)
		}
		return p
	}
	for args = args[1:]; len(args) > 0; args = args[1:] {
		operand := ""
		if len(args) > 1 {
			operand = args[1]
		}
		switch args[0] {
		case "--utc":
			continue
		case "--json":
			r.JSON = true
			continue
		case "--outages":
			r.Outages = true
			continue
		case "--messages":
			r.Messages = true
			continue
		case "--follow":
			r.Follow = true
			continue
		case "--summary":
			r.SummaryOnly = true
			continue
		case "--no-summary":
			r.NoSummary = true
			continue
		case "--at":
			r.At = point(operand)
		case "--since":
			r.Since = point(operand)
		case "--until":
			r.Until = point(operand)
		case "--machine":
			r.Machine = operand
		default:
			t.Fatalf("unknown flag %s", args[0])
		}
		args = args[1:]
	}
	return r
}

// tell is what these flags tell, and the error.
func tell(t testing.TB, args ...string) (told string, err error) {
	t.Helper()
	return tellOf(t, nil, args...)
}

// errKind is what the command makes its exit status of.
func errKind(err error) string {
	var damaged *DamagedError
	switch {
	case err == nil:
		return ""
	case errors.As(err, &damaged):
		return "damaged"
	case errors.Is(err, ErrInterrupted):
		return "interrupted"
	}
	return "failed"
}

// packagePrefix is what errors of a journal begin with.
var packagePrefix = regexp.MustCompile(`(^|: )journal: `)

// said is an error without the name of the package that it is of.
func said(err error) string {
	if err == nil {
		return ""
	}
	return packagePrefix.ReplaceAllString(err.Error(), "$1")
}

func tellOf(t testing.TB, stdin io.Reader, args ...string) (told string, err error) {
	t.Helper()
	var out strings.Builder
	err = ask(t, stdin, args...).Tell(t.Context(), term.To(&out))
	return out.String(), err
}

// The clock was set back by an hour and more: it is 12:00, 12:10, 11:10:30, 11:20:30, 11:26, in this order.
func setBackOnce(t *testing.T) *pasttest.Log {
	p := pasttest.New(t, "orders").Connect()
	p.Fire(10*time.Minute, consumer.ConnectionError, consumer.Evidence{Class: "network"})
	p.Fire(30*time.Second, consumer.Revived, consumer.Evidence{Attempt: 1})
	p.Fire(10*time.Minute, consumer.DrainTimeout, consumer.Evidence{}).Fire(time.Millisecond, consumer.HeartbeatOK, consumer.Evidence{})
	p.Fire(330*time.Second, consumer.Stop, consumer.Evidence{})
	for i := range p.Events {
		p.Events[i].Time = p.Events[i].Time.Add(-10 * time.Hour)
		if i > 3 {
			p.Events[i].Time = p.Events[i].Time.Add(-time.Hour)
		}
	}
	return p
}

// moved moves segments into a directory, which it returns.
func moved(t testing.TB, dir string, segments ...string) string {
	t.Helper()
	for _, path := range segments {
		if err := os.Rename(path, filepath.Join(dir, filepath.Base(path))); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}
