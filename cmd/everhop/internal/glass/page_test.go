package glass

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"gotest.tools/v3/golden"

	"github.com/everhop/everhop/cmd/everhop/internal/term"
	"github.com/everhop/everhop/consumer"
	"github.com/everhop/everhop/consumer/health"
	"github.com/everhop/everhop/consumer/publish"
)

const documents = "../../../../consumer/health/testdata/documents"

// document is one that a consumer has sent, with changes.
func document(t *testing.T, name string, changes ...func(*health.Document)) Look {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(documents, name+".json"))
	if err != nil {
		t.Fatal(err)
	}
	doc, err := parse(text)
	if err != nil {
		t.Fatal(err)
	}
	for _, change := range changes {
		change(doc)
	}
	return Look{Address: "127.0.0.1:9090", Doc: doc, JSON: text}
}

func well(doc *health.Document) { doc.Troubles = nil }

func text(lines []term.Text) string {
	var b strings.Builder
	for _, line := range lines {
		fmt.Fprintln(&b, string(line.TrimRight()))
	}
	return b.String()
}

// What a reader knows within five seconds of ten queues is in the first two lines, and its queue is the first one.
func TestTroubles(t *testing.T) {
	files, err := filepath.Glob(filepath.Join(documents, "*.json"))
	if err != nil || len(files) < 8 {
		t.Fatalf("%d documents, %v", len(files), err)
	}
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".json")
		t.Run(name, func(t *testing.T) {
			look := document(t, name)
			wide := text(page{zone: time.UTC}.lines([]Look{look}))
			golden.Assert(t, wide, name+".txt")
			golden.Assert(t, text(page{zone: time.UTC, width: 80}.lines([]Look{look})), name+"_80.txt")
			trouble := look.Doc.Troubles[0]
			head := strings.Join(strings.SplitN(wide, "\n", 3)[:2], "\n")
			if !strings.Contains(head, strings.ToUpper(trouble.Word)) || !strings.Contains(head, trouble.Queue) || !strings.Contains(head, trouble.Text) {
				t.Errorf("the first lines are\n%s\nand the trouble is %+v", head, trouble)
			}
			_, table, _ := strings.Cut(wide, "\n   queue ")
			first := strings.Split(table, "\n")[1]
			if trouble.Queue != "" && !strings.HasPrefix(first, levelOf(trouble).sign()+" "+trouble.Queue+" ") {
				t.Errorf("the first queue is %q, and the trouble is %+v", first, trouble)
			}
		})
	}
}

// The worst consumer comes first, and what several queues have in common once.
func TestSeveral(t *testing.T) {
	many := document(t, "away", func(doc *health.Document) {
		doc.Name, doc.Troubles = "many", nil
		for i, s := range doc.Subscriptions {
			trouble := health.Trouble{Level: health.Bad, Word: "queue missing", Queue: s.Queue, Text: "no queue '" + s.Queue + "'", Since: s.Since}
			if i < 7 {
				trouble.Word, trouble.Text = "breaker open", "10 failures"
			}
			doc.Troubles = append(doc.Troubles, trouble)
		}
		doc.Publisher = &publish.Status{
			State: publish.Reviving, Since: doc.Since, Attempt: 3, Error: "connection refused", OldestUnconfirmed: doc.Since,
			Stats: publish.Stats{Confirmed: 12345, Refused: 1, Unconfirmed: 8, Waiting: 2},
		}
	})
	stuck := document(t, "frozen", well, func(doc *health.Document) {
		doc.Name, doc.Alive = "stuck", false
		doc.NotAlive = []consumer.Reason{{Code: consumer.ReasonStuck, Text: "the supervisor has done nothing for 48s"}}
		doc.Troubles = []health.Trouble{{Level: health.Bad, Word: "stuck", Text: doc.NotAlive[0].Text}}
	})
	stopping := document(t, "frozen", func(doc *health.Document) {
		doc.Name, doc.Ready, doc.Subscriptions = "stopping", false, doc.Subscriptions[:1]
		doc.NotReady = []consumer.Reason{{Code: consumer.ReasonStopping, Text: "it stops"}}
		doc.Subscriptions[0].Doing = consumer.DoingStop
		doc.Troubles = []health.Trouble{{Level: health.Note, Word: "stopping", Text: "it stops"}}
	})
	fine := document(t, "frozen", well, func(doc *health.Document) { doc.Name = "fine" })
	gone := Look{Address: "h3:9090", Err: errors.New("connection refused"), last: &fine}
	looks := []Look{fine, stopping, many, document(t, "poison"), document(t, "hung"), stuck, gone}
	golden.Assert(t, text(page{zone: time.UTC, width: 100}.lines(looks)), "several.txt")
	if looks[0].Doc.Name != "fine" {
		t.Error("the caller's order is changed")
	}
}

// More troubles than anybody reads are counted.
func TestManyTroubles(t *testing.T) {
	look := document(t, "frozen", func(doc *health.Document) {
		doc.Troubles = nil
		for i := range 40 {
			doc.Troubles = append(doc.Troubles, health.Trouble{Level: health.Bad, Word: "queue missing", Queue: fmt.Sprint("q", i), Text: fmt.Sprint(i)})
		}
	})
	got := text(page{zone: time.UTC}.lines([]Look{look}))
	if strings.Count(got, "QUEUE MISSING") != told || !strings.Contains(got, "!! and 28 more, see below\n") {
		t.Error(got)
	}
}

// What does not fit is left out from the least to the most important, and nothing is longer than the window.
func TestNarrow(t *testing.T) {
	for width := 40; width < 180; width++ {
		for _, line := range strings.Split(text(page{zone: time.UTC, width: width}.lines([]Look{document(t, "poison")})), "\n") {
			if term.Width(line) > width {
				t.Fatalf("width %d: %q", width, line)
			}
		}
	}
}

// Nothing from outside commands the terminal.
func TestHostile(t *testing.T) {
	const evil = "\x1b[2J\u202e\n"
	look := document(t, "away", func(doc *health.Document) {
		doc.Name, doc.Version, doc.State = evil, evil, evil
		doc.NotReady[0].Text, doc.NotReady[0].Queue = evil, evil
		doc.Connections[0].Error, doc.Connections[0].Endpoint = evil, evil
		doc.Subscriptions[0].Queue, doc.Subscriptions[0].Doing = evil, evil
		doc.Troubles[0].Word, doc.Troubles[0].Text, doc.Troubles[0].Queue = evil, evil, evil
		doc.Publisher = &publish.Status{State: evil, Endpoint: evil, Error: evil, BlockedReason: evil}
	})
	for _, width := range []int{0, 60} {
		for _, line := range (page{zone: time.UTC, width: width}).lines([]Look{look, {Address: evil, Err: errors.New(evil)}}) {
			if strings.ContainsAny(string(line), "\x1b\u202e\n") {
				t.Errorf("%q", line)
			}
		}
	}
}

func TestShorten(t *testing.T) {
	for _, tt := range []struct {
		name  string
		width int
		want  string
	}{{"orders", 6, "orders"}, {"prod.eu.orders.created", 12, "pro….created"}, {"日本語のとても長い名前", 6, "日…長い名前"}} {
		if got := shorten(tt.name, tt.width); got != tt.want || term.Width(got) > tt.width {
			t.Errorf("%s: %s, want %s", tt.name, got, tt.want)
		}
	}
}
