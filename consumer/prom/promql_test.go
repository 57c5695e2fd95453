package prom

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/everhop/everhop/broker"
	"github.com/everhop/everhop/consumer"
)

// known are the metrics that are shown, with the names of their labels. It is made of what a scrape has, and not of what is
// said to be there.
type known map[string][]string

func knownMetrics(t *testing.T) known {
	k := known{"process_start_time_seconds": nil} // client_golang's own
	for _, f := range gather(t, collectorOf(t, busy(2), 0)) {
		var labels []string
		for _, l := range f.Metric[0].Label {
			labels = append(labels, l.GetName())
		}
		k[f.GetName()] = labels
		if f.Metric[0].Histogram != nil {
			k[f.GetName()+"_count"], k[f.GetName()+"_sum"] = labels, labels
			k[f.GetName()+"_bucket"] = append(slices.Clone(labels), "le")
		}
	}
	return k
}

// values are those that a label can have.
func values() map[string][]string {
	v := map[string][]string{
		"role": {"home", "apart"}, "reason": reasons[:], "name": notes[:],
		"outcome": {"confirmed", "unroutable", "refused", "not_sent", "not_known"},
		"class":   {string(broker.Network)},
	}
	for _, o := range outcomes {
		v["outcome"] = append(v["outcome"], o.name)
	}
	for _, d := range doings {
		v["doing"] = append(v["doing"], string(d))
	}
	for _, s := range consumer.Lifecycle().States() {
		v["state"] = append(v["state"], string(s))
	}
	for _, trigger := range consumer.Lifecycle().Triggers() {
		v["trigger"] = append(v["trigger"], string(trigger))
	}
	return v
}

// token is one word of PromQL: a name, a text in quotes, or anything else.
var token = regexp.MustCompile(`"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*'|[a-zA-Z_:$][a-zA-Z0-9_:$]*|[0-9.]+[a-z]*|=~|!~|!=|[^\s]`)

// words are what may stand in an expression beside metrics and labels.
var words = []string{
	"by", "on", "and", "or", "unless", "offset", "sum", "count", "max", "min", "max_over_time", "rate", "increase", "changes", "time",
	"histogram_quantile", "label_values", "$__rate_interval",
}

// check reads an expression, as far as it must to find what it names.
func (k known) check(expr string) error {
	tokens := token.FindAllString(expr, -1)
	var labels []string // of all metrics in it
	depth := 0
	for i := 0; i < len(tokens); i++ {
		switch at := tokens[i]; {
		case strings.Contains("([{", at):
			depth++
		case strings.Contains(")]}", at):
			depth--
		case slices.Contains([]string{"by", "on"}, at):
			for i++; tokens[i] != ")"; i++ {
				name := tokens[i]
				if name != "(" && name != "," && !slices.Contains(append(k.labelsOf(tokens), targetLabels...), name) {
					return fmt.Errorf("by %s, which no metric in it has: %s", name, expr)
				}
			}
		case slices.Contains(words, at), !isName(at):
		case i > 0 && tokens[i-1] == ",": // label_values(metric, label)
			if !slices.Contains(labels, at) && !slices.Contains(targetLabels, at) {
				return fmt.Errorf("the label %s is none of its metric's: %s", at, expr)
			}
		default:
			has, ok := k[at]
			if !ok {
				return fmt.Errorf("there is no metric %s: %s", at, expr)
			}
			labels = append(labels, has...)
			if i+1 < len(tokens) && tokens[i+1] == "{" {
				end := i + slices.Index(tokens[i:], "}")
				if err := matchers(tokens[i+2:end], has); err != nil {
					return fmt.Errorf("%s: %w: %s", at, err, expr)
				}
				i = end
			}
		}
	}
	if depth != 0 {
		return fmt.Errorf("brackets: %s", expr)
	}
	return nil
}

// targetLabels are those that Prometheus adds.
var targetLabels = []string{"instance", "job"}

func isName(word string) bool { return regexp.MustCompile(`^[a-zA-Z_:$]`).MatchString(word) }

func (k known) labelsOf(tokens []string) (labels []string) {
	for _, t := range tokens {
		labels = append(labels, k[t]...)
	}
	return labels
}

// matchers reads label="value", label=~"a|b".
func matchers(tokens, has []string) error {
	for len(tokens) >= 3 {
		name, op, value := tokens[0], tokens[1], strings.Trim(tokens[2], `"'`)
		if !slices.Contains([]string{"=", "!=", "=~", "!~"}, op) {
			return fmt.Errorf("%s is no comparison", op)
		}
		if !slices.Contains(has, name) && !slices.Contains(targetLabels, name) {
			return fmt.Errorf("it has no label %s", name)
		}
		if may := values()[name]; may != nil && !strings.HasPrefix(value, "$") {
			for _, v := range strings.Split(value, "|") {
				if !slices.Contains(may, v) {
					return fmt.Errorf("%s is never %q", name, v)
				}
			}
		}
		tokens = tokens[3:]
		if len(tokens) > 0 && tokens[0] == "," {
			tokens = tokens[1:]
		}
	}
	if len(tokens) > 0 {
		return fmt.Errorf("what is %q", tokens)
	}
	return nil
}

func TestCheckFindsMistakes(t *testing.T) {
	k := knownMetrics(t)
	for _, good := range []string{
		`sum by (queue) (rate(everhop_deliveries_total{outcome=~"parked|rejected", instance="a"}[5m])) > 0`,
		`histogram_quantile(0.95, sum by (le) (rate(everhop_handler_duration_seconds_bucket[5m])))`,
		`label_values(everhop_subscriptions{consumer=~"$consumer"}, queue)`,
	} {
		if err := k.check(good); err != nil {
			t.Error(err)
		}
	}
	for _, bad := range []string{
		`everhop_delivery_total`,
		`everhop_deliveries_total{outcome="park"}`,
		`everhop_deliveries_total{state="Consuming"}`,
		`sum by (endpoint) (everhop_deliveries_total)`,
		`everhop_deliveries_total_bucket`,
		`rat(everhop_deliveries_total[5m])`,
		`rate(everhop_deliveries_total[5m]`,
		`everhop_consumer_notes_total{name="giveup"}`,
		`everhop_consumer_transitions_total{trigger="Reconnect"}`,
		`label_values(everhop_subscriptions, endpoint)`,
	} {
		if k.check(bad) == nil {
			t.Errorf("nothing is found wrong with %s", bad)
		}
	}
}
