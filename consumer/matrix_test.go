package consumer_test

import (
	"bufio"
	"bytes"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/everhop/everhop/consumer"
)

const matrixFile = "../testdata/fault-matrix.txt"

// TestFaultMatrix plays every fault at every place: in every state of the lifecycle, and at every step
// of connecting and reviving; by itself, and beside a second subscription, whose messages must flow. Client and
// broker run in one bubble of synthetic time, so that outages of minutes pass in milliseconds and the same
// transitions come each time. What they are to be, and which pairs cannot occur and why, is in
// testdata/fault-matrix.txt.
func TestFaultMatrix(t *testing.T) {
	matrix := readMatrix(t)
	matrix.check(t)
	shapes, brokers := shapes, matrixBrokers
	if testing.Short() || consumer.RaceDetector { // make proofs plays the rest
		shapes, brokers = shapes[:2], brokers[:1]
	}
	var pairs, never, plays, beside int
	for _, f := range matrixFaults {
		for _, p := range matrixPlaces {
			name := f.name + " " + p.name
			pairs++
			occurs := false
			for _, as := range shapes {
				line := matrix.find(f.name, p.name, as.beside)
				if line < 0 {
					t.Errorf("%s: is not in %s", name, matrixFile)
					continue
				}
				want := matrix[line].outcome
				if strings.HasPrefix(want, cannot) {
					continue
				}
				occurs = true
				for _, of := range brokers {
					plays++
					if as.beside {
						beside++
					}
					t.Run(name+" as "+of.version+" "+as.name, func(t *testing.T) {
						again := 0
						if as.beside {
							again = 2
						}
						for {
							var got string
							synctest.Test(t, func(t *testing.T) { got = newStage(t, as, of, f).play(f, p) })
							if t.Failed() || slices.Contains(strings.Split(want, " or "), got) {
								return
							}
							if again == 0 {
								t.Fatalf("got %s\nwant %s", got, want)
							}
							t.Logf("got %s: once more, since which of two is consumed first is chance", got)
							again--
						}
					})
				}
			}
			if !occurs {
				never++
			}
		}
	}
	t.Logf("%d faults at %d places: %d pairs, of which %d cannot occur. The others were played %d times in all: as %d versions of RabbitMQ, with several numbers of handlers, and %d times beside a neighbour, whose longest gap was %v",
		len(matrixFaults), len(matrixPlaces), pairs, never, plays, len(brokers), beside, longest.gaps)
}

// matrixBroker is the version of RabbitMQ as which the broker plays, and the type of the queue.
type matrixBroker struct{ version, queueType string }

// matrixBrokers are one that cancels consumers after the consumer timeout, which only quorum queues have there, and one
// that closes channels. The first is the one for a short run.
var matrixBrokers = []matrixBroker{{"4.3", "quorum"}, {"3.10", "classic"}}

// cannot begins the outcome of a pair that cannot occur; the reason follows.
const cannot = "never: "

// matrix is the file, see there. Of several lines for a pair the last one counts.
type matrix []line

type line struct {
	number                int
	faults, states, steps []string
	beside                bool // only beside a neighbour
	outcome               string
}

// find returns the index of the line for a pair, alone or beside a neighbour; -1 if there is none.
func (m matrix) find(fault, place string, beside bool) int {
	state, step, _ := strings.Cut(place, "/")
	names := func(list []string, name string) bool { return list[0] == "*" || slices.Contains(list, name) }
	for i, l := range slices.Backward(m) {
		if names(l.faults, fault) && names(l.states, state) && names(l.steps, step) && (beside || !l.beside) {
			return i
		}
	}
	return -1
}

// check finds names that nothing has, and lines that never count.
func (m matrix) check(t *testing.T) {
	counts := make(map[int]bool)
	known := map[string]bool{"*": true}
	for _, f := range matrixFaults {
		for _, p := range matrixPlaces {
			state, step, _ := strings.Cut(p.name, "/")
			known[f.name], known[state], known[step] = true, true, true
			for _, as := range shapes {
				counts[m.find(f.name, p.name, as.beside)] = true
			}
		}
	}
	for i, l := range m {
		for _, name := range slices.Concat(l.faults, l.states, l.steps) {
			if !known[name] {
				t.Errorf("%s:%d: there is no %q", matrixFile, l.number, name)
			}
		}
		if !counts[i] {
			t.Errorf("%s:%d: counts for no pair", matrixFile, l.number)
		}
	}
}

func readMatrix(t *testing.T) (m matrix) {
	content, err := os.ReadFile(matrixFile)
	if err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(bytes.NewReader(content))
	for n := 1; lines.Scan(); n++ {
		text, _, _ := strings.Cut(lines.Text(), "#")
		fields := strings.Fields(text)
		if len(fields) == 0 {
			continue
		}
		var place []string
		if len(fields) > 2 {
			place = strings.Split(fields[1], "/")
		}
		beside := len(place) == 3 && place[2] == "beside"
		if len(place) != 2 && !beside {
			t.Fatalf("%s:%d: want faults, states/steps and an outcome", matrixFile, n)
		}
		m = append(m, line{
			n, strings.Split(fields[0], ","), strings.Split(place[0], ","), strings.Split(place[1], ","), beside,
			strings.Join(fields[2:], " "),
		})
	}
	return m
}
