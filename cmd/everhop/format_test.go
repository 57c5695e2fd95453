package main

import (
	"bytes"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/everhop/everhop/consumer"
)

func TestFormat(t *testing.T) {
	d := consumer.Delivery{
		Body: []byte("100%s\n"), RoutingKey: "user.new", Exchange: "events", Queue: "q", MessageID: "m1", ContentType: "text/plain",
		Redelivered: true, Timestamp: time.Unix(1735787045, 0),
		Headers: map[string]any{"b": int32(7), "a": "x y", "c": []any{true, nil}, "d": []byte{0xff}, "e": math.NaN(), "f": "base64:"},
	}
	tests := []struct{ format, want string }{
		{"%s", "100%s\n"},
		{"plain", "plain"},
		{`%k: %s`, "user.new: 100%s\n"},
		{`%S\t%x/%k\n`, "6\tevents/user.new\n"},
		{`%q %i %c %r`, "q m1 text/plain true"},
		{`%h`, `a=x y,b=7,c=[true,null],d=/w==,e=NaN,f=base64:YmFzZTY0Og==`},
		{`%T|%o`, "2025-01-02T03:04:05Z|"},
		{`%%s%%`, "%s%"},
		{`\\n\x41\xff\0\r`, "\\nA\xff\x00\r"},
		{"\xffé", "\xffé"},
	}
	for _, tt := range tests {
		var f formatFlag
		if err := f.Set(tt.format); err != nil {
			t.Error(err)
			continue
		}
		var line bytes.Buffer
		if err := f.write(&line, &d); err != nil || line.String() != tt.want {
			t.Errorf("%q: %q, %v, want %q", tt.format, &line, err, tt.want)
		}
	}
	var f formatFlag
	var line bytes.Buffer
	if err := f.Set("[%T %o]"); err != nil {
		t.Fatal(err)
	}
	_ = f.write(&line, &consumer.Delivery{StreamOffset: 5, Headers: map[string]any{"x-stream-offset": int64(5)}})
	if line.String() != "[ 5]" {
		t.Errorf("of a stream: %q", &line)
	}
}

func TestFormatRefuses(t *testing.T) {
	const known = "there are %c %h %i %k %o %q %r %s %S %T %x, and %% for a percent sign"
	tests := []struct{ flags, want string }{
		{"--format=", `--format: "": empty`},
		{"--format %y", `--format: "%y": unknown placeholder "%y"; ` + known},
		{"--format a%", `--format: "a%": unknown placeholder "%"; ` + known},
		{`--format \q`, `--format: "\\q": unknown escape "\\q"; there are \n, \t, \r, \0, \\ and \xHH`},
		{`--format a\`, `--format: "a\\": unknown escape "\\"; there are \n, \t, \r, \0, \\ and \xHH`},
		{`--format \xg0`, `--format: "\\xg0": "\\xg0": expected two hexadecimal digits`},
		{`--format \x0`, `--format: "\\x0": unknown escape "\\x"; there are \n, \t, \r, \0, \\ and \xHH`},
		{"--queue q --format %s --output jsonl", "--format: not with --output jsonl"},
		{"--queue q --format %s --exec cat", "--format: with --exec, standard output is the command's"},
		{"--queue q --null --output jsonl", "--null: with --output jsonl, each line is a record"},
		{"--queue q --null --output none", "--null: nothing is written with --output none"},
		{"--queue q --null --exec cat", "--null: with --exec, standard output is the command's"},
		{"--queue q --null --format %s", `--null: with --format, write \0 where it belongs`},
	}
	for _, tt := range tests {
		t.Run(tt.flags, func(t *testing.T) { refuses(t, "consume", tt.flags, tt.want) })
	}
}

func TestConsumeNullAndFormat(t *testing.T) {
	tests := []struct{ flags, want string }{
		{"--null", "a\nb\x00\x00c\x00"},
		{"--null --output body", "a\nb\x00\x00c\x00"},
		{`--format %k=%s;`, "q=a\nb;q=;q=c;"},
	}
	for _, tt := range tests {
		t.Run(tt.flags, func(t *testing.T) {
			server := oneQueue(t, "a\nb", "", "c")
			status, stdout, stderr := inProcess(t, append(strings.Fields("consume --count 3 --queue q --url "+server.URL()), strings.Fields(tt.flags)...)...)
			if status != 0 || stdout != tt.want {
				t.Errorf("exit status %d, %q, want %q\n%s", status, stdout, tt.want, stderr)
			}
		})
	}
}

// What consume --null writes, publish --null reads.
func TestNullFromConsumeToPublish(t *testing.T) {
	bodies := []string{"a\nb", "", "c"}
	from, to := oneQueue(t, bodies...), oneQueue(t)
	status, stdout, stderr := inProcess(t, "consume", "--null", "--count", "3", "--queue", "q", "--url", from.URL())
	if status != 0 {
		t.Fatal(stderr)
	}
	if status, _, stderr := publishes(t, stdout, "publish", "--null", "--queue", "q", "--url", to.URL()); status != 0 {
		t.Fatal(stderr)
	}
	var got []string
	for _, m := range to.Messages("q") {
		got = append(got, string(m.Body))
	}
	if strings.Join(got, "|") != strings.Join(bodies, "|") {
		t.Errorf("%q", got)
	}
}
