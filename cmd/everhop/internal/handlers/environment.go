package handlers

import (
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/everhop/everhop/cmd/everhop/internal/record"
	"github.com/everhop/everhop/consumer"
)

const (
	// headerVariable is what the name of a variable with a header begins with.
	headerVariable = "EVERHOP_HEADER_"
	// An environment has a limit, of 128 KiB in all on the smallest systems, and of 128 KiB a variable on Linux. No message
	// may make its command impossible to start.
	longestVariable, allVariables = 4 << 10, 32 << 10
)

// property is one of a message's, as text: empty if it is not set.
type property struct{ name, value string }

// propertiesOf are those of a message that are handed to a command or a server, and what Everhop knows of it. Each
// is of 255 bytes at most.
func propertiesOf(d *consumer.Delivery) []property {
	timestamp := ""
	if !d.Timestamp.IsZero() {
		timestamp = d.Timestamp.UTC().Format(time.RFC3339)
	}
	return []property{
		{"QUEUE", d.Queue},
		{"EXCHANGE", d.Exchange},
		{"ROUTING_KEY", d.RoutingKey},
		{"REDELIVERED", strconv.FormatBool(d.Redelivered)},
		{"MESSAGE_ID", d.MessageID},
		{"CORRELATION_ID", d.CorrelationID},
		{"REPLY_TO", d.ReplyTo},
		{"CONTENT_TYPE", d.ContentType},
		{"CONTENT_ENCODING", d.ContentEncoding},
		{"TYPE", d.Type},
		{"APP_ID", d.AppID},
		{"USER_ID", d.UserID},
		{"TIMESTAMP", timestamp},
		{"EXPIRATION", d.Expiration},
		{"PRIORITY", strconv.Itoa(int(d.Priority))},
		{"DELIVERY_MODE", strconv.Itoa(int(d.DeliveryMode))},
		{"ATTEMPT", strconv.Itoa(consumer.Attempts(d) + 1)},
	}
}

// handedOn is of our environment what commands get. We may be a command of another everhop: that has headers of another message.
func handedOn(ours []string) []string {
	return slices.DeleteFunc(slices.Clone(ours), func(variable string) bool { return strings.HasPrefix(variable, headerVariable) })
}

// environment is base, with the message's properties and headers.
func environment(base []string, d *consumer.Delivery) []string {
	properties := propertiesOf(d)
	env := append(make([]string, 0, len(base)+len(properties)+len(d.Headers)+1), base...)
	for _, p := range properties {
		env = append(env, "EVERHOP_"+p.name+"="+withoutNUL(p.value))
	}
	fit := fitting{each: longestVariable, all: allVariables}
	for _, h := range headersAs(d.Headers, variableName) {
		if value := withoutNUL(h.value); fit.add(h.name, value) {
			env = append(env, headerVariable+h.name+"="+value)
		}
	}
	return append(env, "EVERHOP_HEADERS_LEFT_OUT="+strconv.Itoa(len(d.Headers)-fit.added))
}

// withoutNUL is text for an environment, which cannot hold NUL.
func withoutNUL(text string) string { return strings.ReplaceAll(text, "\x00", "") }

// fitting says what fits into a limit.
type fitting struct {
	each, all int // bytes
	used      int
	added     int
}

func (f *fitting) add(name, value string) bool {
	size := len(name) + len(value)
	if len(value) > f.each || f.used+size > f.all {
		return false
	}
	f.used += size
	f.added++
	return true
}

// headersAs are the headers by other names, in the order of their own. Of several that get the same name the first one
// is there.
func headersAs(headers map[string]any, rename func(string) string) []property {
	if len(headers) == 0 {
		return nil
	}
	taken := make(map[string]bool, len(headers))
	list := make([]property, 0, len(headers))
	for _, name := range slices.Sorted(maps.Keys(headers)) {
		other := rename(name)
		if other == "" || taken[other] {
			continue
		}
		taken[other] = true
		list = append(list, property{other, record.Text(headers[name])})
	}
	return list
}

// variableName is a header's name in an environment: in capitals, with an underscore for what is no letter or digit.
func variableName(name string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case 'a' <= r && r <= 'z':
			return r - 'a' + 'A'
		case 'A' <= r && r <= 'Z', '0' <= r && r <= '9':
			return r
		}
		return '_'
	}, name)
}
