package main

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/everhop/everhop/cmd/everhop/internal/record"
	"github.com/everhop/everhop/consumer"
)

// formatFlag is --format: a text with placeholders, as kcat has them.
type formatFlag struct{ parts []part }

// part appends a piece of the text.
type part func(*bytes.Buffer, *consumer.Delivery)

// placeholders are what may follow a %. The help lists them.
var placeholders = map[byte]part{
	's': func(line *bytes.Buffer, d *consumer.Delivery) { line.Write(d.Body) },
	'S': func(line *bytes.Buffer, d *consumer.Delivery) { line.WriteString(strconv.Itoa(len(d.Body))) },
	'k': func(line *bytes.Buffer, d *consumer.Delivery) { line.WriteString(d.RoutingKey) },
	'x': func(line *bytes.Buffer, d *consumer.Delivery) { line.WriteString(d.Exchange) },
	'q': func(line *bytes.Buffer, d *consumer.Delivery) { line.WriteString(d.Queue) },
	'i': func(line *bytes.Buffer, d *consumer.Delivery) { line.WriteString(d.MessageID) },
	'c': func(line *bytes.Buffer, d *consumer.Delivery) { line.WriteString(d.ContentType) },
	'r': func(line *bytes.Buffer, d *consumer.Delivery) { line.WriteString(strconv.FormatBool(d.Redelivered)) },
	'h': func(line *bytes.Buffer, d *consumer.Delivery) { formatHeaders(line, d.Headers) },
	'T': func(line *bytes.Buffer, d *consumer.Delivery) {
		if !d.Timestamp.IsZero() {
			line.WriteString(record.Time(d.Timestamp))
		}
	},
	'o': func(line *bytes.Buffer, d *consumer.Delivery) {
		if _, isOfStream := d.Headers["x-stream-offset"]; isOfStream {
			line.WriteString(strconv.FormatInt(d.StreamOffset, 10))
		}
	},
}

// escapes are what may follow a backslash, besides xHH.
var escapes = map[byte]byte{'n': '\n', 't': '\t', 'r': '\r', '0': 0, '\\': '\\'}

func (formatFlag) Type() string   { return "FORMAT" }
func (formatFlag) String() string { return "" }

func (f *formatFlag) Set(text string) error {
	if text == "" {
		return errors.New("empty")
	}
	var parts []part
	var plain []byte
	flush := func() {
		if literal := plain; len(literal) > 0 {
			parts = append(parts, func(line *bytes.Buffer, _ *consumer.Delivery) { line.Write(literal) })
		}
		plain = nil
	}
	for rest := text; rest != ""; {
		var next byte // 0 at the end
		if len(rest) > 1 {
			next = rest[1]
		}
		switch {
		case rest[0] == '%' && next == '%':
			plain = append(plain, '%')
		case rest[0] == '%':
			write := placeholders[next]
			if write == nil {
				return fmt.Errorf("unknown placeholder %.2q; there are %s, and %%%% for a percent sign", rest, knownPlaceholders())
			}
			flush()
			parts = append(parts, write)
		case rest[0] == '\\' && next == 'x' && len(rest) >= len(`\x00`):
			b, err := strconv.ParseUint(rest[2:4], 16, 8)
			if err != nil {
				return fmt.Errorf("%.4q: expected two hexadecimal digits", rest)
			}
			plain = append(plain, byte(b))
			rest = rest[2:]
		case rest[0] == '\\':
			b, known := escapes[next]
			if !known || len(rest) == 1 {
				return fmt.Errorf(`unknown escape %.2q; there are \n, \t, \r, \0, \\ and \xHH`, rest)
			}
			plain = append(plain, b)
		default:
			plain = append(plain, rest[0])
			rest = rest[1:]
			continue
		}
		rest = rest[2:]
	}
	flush()
	f.parts = parts
	return nil
}

func knownPlaceholders() string {
	letters := slices.SortedFunc(maps.Keys(placeholders), func(a, b byte) int {
		return cmp.Or(cmp.Compare(a|' ', b|' '), cmp.Compare(b, a))
	})
	return "%" + strings.Join(strings.Split(string(letters), ""), " %")
}

// write is a format.
func (f *formatFlag) write(line *bytes.Buffer, d *consumer.Delivery) error {
	for _, part := range f.parts {
		part(line, d)
	}
	return nil
}

// formatHeaders writes NAME=VALUE,NAME=VALUE by the order of the names: text as it is, anything else as --output jsonl has it.
func formatHeaders(line *bytes.Buffer, headers map[string]any) {
	for i, name := range slices.Sorted(maps.Keys(headers)) {
		if i > 0 {
			line.WriteByte(',')
		}
		line.WriteString(name)
		line.WriteByte('=')
		value := record.Value(headers[name])
		if text, ok := value.(string); ok {
			line.WriteString(text)
			continue
		}
		encoded, err := json.Marshal(value)
		if err != nil { // there is none, as in a record: its values have only what JSON has
			continue
		}
		line.Write(encoded)
	}
}

func formatNull(line *bytes.Buffer, d *consumer.Delivery) error {
	line.Write(d.Body)
	return line.WriteByte(0)
}

// checkOutput returns what is wrong with --null and --format together with what is to be written.
func (f *consumption) checkOutput() error {
	flag := "--null"
	switch {
	case f.null && f.format.parts != nil:
		return errors.New(`--null: with --format, write \0 where it belongs`)
	case f.format.parts != nil:
		flag = "--format"
	case !f.null:
		return nil
	}
	switch {
	case f.runs():
		return errors.New(flag + ": with --exec, standard output is the command's")
	case f.posts():
		return errors.New(flag + ": with --http, nothing is written to standard output")
	case f.output == "none":
		return errors.New(flag + ": nothing is written with --output none")
	case f.output == "jsonl" && f.null:
		return errors.New("--null: with --output jsonl, each line is a record")
	case f.output == "jsonl":
		return errors.New("--format: not with --output jsonl")
	}
	return nil
}
