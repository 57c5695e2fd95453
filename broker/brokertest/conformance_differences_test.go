package brokertest_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	amqp "github.com/rabbitmq/amqp091-go"
)

// difference is something that a Server does otherwise than RabbitMQ 3.10, on purpose. The package's
// documentation says it in these words.
type difference string

const (
	namesItself     difference = "its server properties say that it is a test broker"
	strictArguments difference = "it refuses with 540 an argument of queue.declare, exchange.declare or basic.consume that it does not know; RabbitMQ ignores it"
	ownWords        difference = "of frames that no client library sends it speaks in its own words, and closes with 501 where RabbitMQ hangs up"
	lacksAMQP1      difference = "it speaks AMQP 0-9-1 only, and hangs up on a client of AMQP 1.0"
)

// unshown are those of which RabbitMQ's side is not the same each time, or breaks the queue: no scenario
// shows them.
var unshown = []difference{
	"EXTERNAL is offered wherever there is TLS, and takes the common name of a certificate; RabbitMQ has a plugin for it, and takes all of the distinguished name unless it is told otherwise",
	"permissions come into effect at once; RabbitMQ lets a channel go on for a while with what it was allowed last",
	"when the single active consumer of a classic queue with a backlog is cancelled, the next one gets it; RabbitMQ 3.10 loses track of such a queue",
	"x-max-length and reject-publish are exact, on quorum queues too; there RabbitMQ enforces them with slack",
	"it resets the connection of a client that takes nothing of what waits for it for 30 s, up to 40; RabbitMQ also that of one which takes too little of it",
	"the queues of consumers that share a prefetch are served in turn; RabbitMQ draws lots",
	"a priority of 0 counts as none, which is 4 in a quorum queue of RabbitMQ 4.3",
	"the names for direct replies are shorter",
	"an x-death with a count that is no number, or with an entry that is no table, is read as far as it goes; RabbitMQ 3.10 loses the message",
	"where a reply text shows a value in Erlang's words, it is on one line; RabbitMQ breaks long ones",
	"the consumer timeout is exact, and there is none that nobody asked for; RabbitMQ before 4.3 looks once a minute, and gives 30 minutes",
	"a stream forgets nothing, and its last chunk is its last message; of x-max-age, of x-max-length-bytes and of filters nothing comes",
	"the length of a stream is told at once; RabbitMQ tells what it was up to 5 s before",
	"the pattern of a policy is a regular expression of Go; of two policies with the same priority the first by name counts",
	"when a channel with several consumers closes, a quorum queue gets its messages back in the order of their delivery tags; from RabbitMQ consumer by consumer",
}

func TestDifferencesAreDocumented(t *testing.T) {
	words := func(text string) string { return strings.ToLower(strings.Join(strings.Fields(text), " ")) }
	for _, name := range []string{"doc.go", "DIFFERENCES.md"} {
		source, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		doc := words(strings.ReplaceAll(string(source), "\n//", "\n"))
		for _, d := range slices.Concat(shown(t), unshown) {
			if !strings.Contains(doc, words(string(d))) {
				t.Errorf("%s does not say: %s", name, d)
			}
		}
	}
}

// Each line of the list names a scenario that there is, or has a reason why there is none.
func TestDifferencesAreShown(t *testing.T) {
	source, err := os.ReadFile("DIFFERENCES.md")
	if err != nil {
		t.Fatal(err)
	}
	var scenarios []string
	for _, s := range slices.Concat(operatorScenarios, together()) {
		scenarios = append(scenarios, s.name)
	}
	lines := 0
	list, _, _ := strings.Cut(string(source), "## Arguments")
	for line := range strings.Lines(list) {
		columns := strings.Split(strings.TrimSpace(line), " | ")
		if len(columns) != 3 || strings.HasPrefix(columns[0], "| difference") {
			continue
		}
		lines++
		last := strings.TrimSuffix(columns[2], " |")
		name, quoted := strings.CutPrefix(last, "`")
		switch {
		case quoted && !slices.Contains(scenarios, strings.TrimSuffix(name, "`")):
			t.Errorf("there is no scenario %s", last)
		case !quoted && len(strings.Fields(last)) < 4:
			t.Errorf("%q is no reason", last)
		}
	}
	if want := len(shown(t)) + len(unshown); lines < want {
		t.Errorf("%d lines, want %d or more", lines, want)
	}
}

// shown are the constants above.
func shown(t *testing.T) (all []difference) {
	file, err := parser.ParseFile(token.NewFileSet(), "conformance_differences_test.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	ast.Inspect(file, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if !ok {
			return true
		}
		if typ, ok := spec.Type.(*ast.Ident); ok && typ.Name == "difference" {
			text, err := strconv.Unquote(spec.Values[0].(*ast.BasicLit).Value)
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, difference(text))
		}
		return true
	})
	if len(all) < 4 {
		t.Fatalf("found only %q", all)
	}
	return all
}

// differs tells a scenario that it must expect the difference.
func (c *client) differs(d difference) bool {
	_, ok := c.server.(double)
	if ok {
		c.Log("on purpose: ", d)
	}
	return ok
}

// wantRefused expects that the Server says that it cannot do what was asked for.
func (ch *channel) wantRefused() {
	ch.c.Helper()
	got, _ := await(ch.c, "the close", ch.closes)
	if got == nil || got.Code != amqp.NotImplemented {
		ch.c.Errorf("closed with %v, want %d", got, amqp.NotImplemented)
	}
}
