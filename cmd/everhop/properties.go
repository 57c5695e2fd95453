package main

import (
	"errors"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/everhop/everhop/broker"
)

// properties are those that flags give to every message.
type properties struct {
	message broker.Message // which has them
	headers headerFlag
}

// textProperties are the properties that are text, and the flags for them.
var textProperties = []struct {
	flag, kind, usage string
	of                func(*broker.Message) *string
}{
	{"content-type", "TYPE", "the property content_type, such as application/json", func(m *broker.Message) *string { return &m.ContentType }},
	{"content-encoding", "ENCODING", "the property content_encoding, such as gzip", func(m *broker.Message) *string { return &m.ContentEncoding }},
	{"correlation-id", "ID", "the property correlation_id", func(m *broker.Message) *string { return &m.CorrelationID }},
	{"reply-to", "QUEUE", "the property reply_to", func(m *broker.Message) *string { return &m.ReplyTo }},
	{"message-id", "ID", "the property message_id; empty for none (default that of the record, or one that is unique)", func(m *broker.Message) *string { return &m.MessageID }},
	{"type", "TYPE", "the property type", func(m *broker.Message) *string { return &m.Type }},
	{"app-id", "ID", "the property app_id", func(m *broker.Message) *string { return &m.AppID }},
}

func (p *properties) add(cmd *cobra.Command) {
	flags := cmd.Flags()
	p.headers = headerFlag{}
	flags.Var(p.headers, "header", "a header, as text, or with a type: x-delay:int=5000 (int, float, bool or text); may be repeated")
	complete(cmd, "header")
	for _, property := range textProperties {
		flags.Var(name(property.of(&p.message), property.kind), property.flag, property.usage)
		complete(cmd, property.flag)
	}
	flags.Var(priority(&p.message.Priority), "priority", "the property priority")
	flags.Var(expiration(&p.message.Expiration), "expiration", "how long the message may wait in a queue before it is dropped")
	complete(cmd, "priority")
	complete(cmd, "expiration")
}

// apply sets what flags were given, over what m has. It changes m.Headers.
func (p *properties) apply(m *broker.Message, given func(flag string) bool) {
	for _, property := range textProperties {
		if given(property.flag) {
			*property.of(m) = *property.of(&p.message)
		}
	}
	if given("message-id") {
		m.NoMessageID = m.MessageID == ""
	}
	if given("priority") {
		m.Priority = p.message.Priority
	}
	if given("expiration") {
		m.Expiration = p.message.Expiration
	}
	if m.Headers == nil && len(p.headers) > 0 {
		m.Headers = make(map[string]any, len(p.headers))
	}
	for name, v := range p.headers {
		m.Headers[name] = v
	}
}

func priority(target *uint8) value[uint8] {
	return value[uint8]{target, "N", "a whole number from 0 to 255",
		func(text string) (uint8, bool) {
			n, err := strconv.ParseUint(text, 10, 8)
			return uint8(n), err == nil
		}}
}

// expiration accepts durations, and keeps what AMQP has: milliseconds, as text.
func expiration(target *string) value[string] {
	return value[string]{target, "DURATION", "a duration of whole milliseconds, such as 1500ms or 24h",
		func(text string) (string, bool) {
			d, err := time.ParseDuration(text)
			return strconv.FormatInt(d.Milliseconds(), 10), err == nil && d >= 0 && d%time.Millisecond == 0
		}}
}

// headerFlag is --header, which may be given several times; of one name the last counts.
type headerFlag map[string]any

func (headerFlag) Type() string   { return "NAME=VALUE" }
func (headerFlag) String() string { return "" }

func (f headerFlag) Set(text string) error {
	name, value, assigned := strings.Cut(text, "=")
	if !assigned || name == "" {
		return errors.New("expected NAME=VALUE, such as tenant=a or x-delay:int=5000")
	}
	kind := "text"
	if colon := strings.LastIndexByte(name, ':'); colon > 0 && headerTypes[name[colon+1:]] != nil {
		name, kind = name[:colon], name[colon+1:]
	}
	if err := broker.CheckName(name); err != nil {
		return err
	}
	v, err := headerTypes[kind](value)
	if err != nil {
		return errors.New("its value is no " + kind)
	}
	f[name] = v
	return nil
}

// headerTypes are those that --header knows; --input jsonl knows all.
var headerTypes = map[string]func(string) (any, error){
	"text":  func(text string) (any, error) { return text, nil },
	"int":   func(text string) (any, error) { return strconv.ParseInt(text, 10, 64) },
	"float": func(text string) (any, error) { return strconv.ParseFloat(text, 64) },
	"bool":  func(text string) (any, error) { return strconv.ParseBool(text) },
}
