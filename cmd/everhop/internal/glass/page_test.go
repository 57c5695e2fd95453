package glass

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"gotest.tools/v3/golden"

	"github.com/everhop/everhop/cmd/everhop/internal/term"
	"github.com/everhop/everhop/consumer"
	"github.com/everhop/everhop/consumer/health"
)

func text(lines []term.Text) string {
	var b strings.Builder
	for _, line := range lines {
		fmt.Fprintln(&b, string(line))
	}
	return b.String()
}

// What a reader knows within five seconds is in the first lines: testdata/TROUBLE.txt.
func TestTrouble(t *testing.T) {
	for _, tt := range trouble {
		t.Run(tt.name, func(t *testing.T) {
			golden.Assert(t, text(page{zone: time.UTC}.lines([]Look{document(t, tt.make)})), tt.name+".txt")
			golden.Assert(t, text(page{zone: time.UTC, width: 80}.lines([]Look{document(t, tt.make)})), tt.name+"_80.txt")
		})
	}
}

func TestSeveral(t *testing.T) {
	other := document(t)
	other.Doc.Name, other.Address = "bills", "h2:9090"
	gone := Look{Address: "h3:9090", Err: errors.New("connect: connection refused")}
	hung := document(t, func(doc *health.Document) {
		doc.Name, doc.Alive, doc.Ready = "stuck", false, false
		doc.NotAlive = []consumer.Reason{{Code: consumer.ReasonStuck, Text: "the supervisor has not turned", Since: ago(48 * time.Second)}}
		doc.NotReady = []consumer.Reason{{Code: consumer.ReasonStopping, Text: "it is told to stop", Since: ago(49 * time.Second)}}
	})
	golden.Assert(t, text(page{zone: time.UTC, width: 100}.lines([]Look{other, document(t, trouble[0].make), hung, gone})), "several.txt")
}
