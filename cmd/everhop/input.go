package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/everhop/everhop/broker"
	"github.com/everhop/everhop/cmd/everhop/internal/record"
	"github.com/everhop/everhop/consumer"
)

const (
	// maxBody is how long a message may be: the most that any RabbitMQ takes by default.
	maxBody = 128 << 20
	// maxRecord is for one of maxBody as JSON, in which a byte takes up to six, and its headers.
	maxRecord = 6*maxBody + 16<<20
)

// input is where messages come from: lines, files and the like, each of which has a number.
type input struct {
	unit    string   // what a message is made of: "line"
	from    int      // the number of the first one that is read
	files   []string // their names, if it is files
	read    func() ([]byte, error)
	message func(read []byte) (broker.Message, error)
	records bool // a line may be blank
}

// label names what has a number.
func (in *input) label(number int) string {
	label := fmt.Sprintf("%s %d", in.unit, number)
	if number <= len(in.files) {
		label += fmt.Sprintf(" (%s)", in.files[number-1])
	}
	return label
}

// isNothing tells whether what was read is no message.
func (in *input) isNothing(read []byte) bool { return in.records && len(bytes.TrimSpace(read)) == 0 }

// readFiles reads one file after the other, beginning with number from.
func (in *input) readFiles() func() ([]byte, error) {
	next := in.from
	return func() ([]byte, error) {
		switch {
		case next > len(in.files)+1:
			return nil, fmt.Errorf("--from-line %d: the input ends with file %d", in.from, len(in.files))
		case next > len(in.files):
			return nil, io.EOF
		}
		number := next
		next++
		body, err := readFile(in.files[number-1])
		if err != nil {
			return nil, fmt.Errorf("%s: %w", in.label(number), err)
		}
		return body, nil
	}
}

func readFile(name string) ([]byte, error) {
	info, err := os.Stat(name)
	if err != nil {
		return nil, cause(err)
	}
	if info.Size() > maxBody {
		return nil, fmt.Errorf("longer than %d bytes", maxBody)
	}
	body, err := os.ReadFile(name)
	if err != nil {
		return nil, cause(err)
	}
	return body, nil
}

// source is where messages come from.
func (f *publication) source(user string, stdin io.Reader) *input {
	in := &input{unit: "line", from: f.from, message: f.plain()}
	between := splitter{in.unit, '\n', maxBody, f.from}
	switch {
	case f.given("file"):
		in.unit, in.files = "file", f.files
		in.read = in.readFiles()
		return in
	case f.null:
		in.unit = "message"
		between.unit, between.separator = in.unit, 0
	case f.input == "jsonl":
		in.records, between.longest = true, maxRecord
		in.message = func(line []byte) (broker.Message, error) { return f.record(line, user) }
	}
	in.read = between.read(stdin)
	return in
}

// plain makes messages of bodies.
func (f *publication) plain() func(body []byte) (broker.Message, error) {
	all := broker.Message{Exchange: f.exchange, RoutingKey: f.routingKey + f.queue} // one of them is empty
	f.properties.apply(&all, f.given)
	return func(body []byte) (broker.Message, error) {
		m := all
		m.Body = body
		return m, nil
	}
}

// record makes a message of a record. What becomes of its headers and of its user-id is as when consumers publish
// a message again.
func (f *publication) record(line []byte, user string) (broker.Message, error) {
	m, err := record.Read(line)
	if err != nil {
		return m, err
	}
	m.Headers = consumer.CarriedHeaders(m.Headers)
	if m.UserID != "" && m.UserID != user {
		m.Headers[consumer.HeaderUserID] = m.UserID
		m.UserID = ""
	}
	switch {
	case f.given("queue"):
		m.Exchange, m.RoutingKey = "", f.queue
	case f.given("exchange"):
		m.Exchange = f.exchange
	}
	if f.given("routing-key") {
		m.RoutingKey = f.routingKey
	}
	if m.Exchange == "" && m.RoutingKey == "" {
		return m, errors.New("it has neither exchange nor routing_key; --queue or --exchange says where to")
	}
	f.properties.apply(&m, f.given)
	return m, nil
}
