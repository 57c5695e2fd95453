package main

import (
	"cmp"
	"context"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/everhop/everhop/broker/rabbittest"
	"github.com/everhop/everhop/consumer"
)

func TestUsageErrors(t *testing.T) {
	long := strings.Repeat("q", 256)
	tests := []struct {
		name string
		args string
		want string
	}{
		{"unknown command", "frobnicate", `unknown command "frobnicate"; see 'everhop --help'`},
		{"command mistyped", "consumee", `unknown command "consumee"; did you mean consume; see 'everhop --help'`},
		{"URL for a command", "amqp://u:pw@h/", `unknown command "amqp://***@h/"; see 'everhop --help'`},
		{"help for an unknown command", "help frob", `unknown command "frob"; see 'everhop --help'`},
		{"help for a command mistyped", "help publsh", `unknown command "publsh"; did you mean publish; see 'everhop --help'`},
		{"help for too much", "help consume queue", `unexpected argument "queue"; see 'everhop consume --help'`},
		{"completion for no shell", "completion", "a command is missing; see 'everhop completion --help'"},
		{"completion for an unknown shell", "completion csh", `unknown command "csh"; see 'everhop completion --help'`},
		{"completion for too much", "completion bash now", `unexpected argument "now"; see 'everhop completion bash --help'`},
		{"flag mistyped", "consume --prefech 3", "unknown flag: --prefech; did you mean --prefetch; see 'everhop consume --help'"},
		{"flag mistyped, with a value", "consume --prefech=3", "unknown flag: --prefech; did you mean --prefetch; see 'everhop consume --help'"},
		{"flag shortened", "consume --con 3", "unknown flag: --con; did you mean --count or --concurrency; see 'everhop consume --help'"},
		{"flag with one dash", "consume -queue q", "unknown shorthand flag: 'q' in -queue; did you mean --queue; see 'everhop consume --help'"},
		{"unknown flag", "consume --frob", "unknown flag: --frob; see 'everhop consume --help'"},
		{"unknown short flag", "consume -x", "unknown shorthand flag: 'x' in -x; see 'everhop consume --help'"},
		{"argument", "consume amqp://u:pw@h/", `unexpected argument "amqp://***@h/"; see 'everhop consume --help'`},
		{"no URL", "consume --queue q", "--url is missing, and EVERHOP_URL is not set; see 'everhop consume --help'"},
		{"empty URL", "consume --queue q --url=", "--url: empty; see 'everhop consume --help'"},
		{"no queue", "consume --url amqp://h", "--queue is missing; see 'everhop consume --help'"},
		{"queue without value", "consume --queue", "--queue needs a value; see 'everhop consume --help'"},
		{"queue too long", "consume --queue " + long, `--queue: "` + long + `": 256 bytes, and 255 is the most; see 'everhop consume --help'`},
		{"queue not UTF-8", "consume --queue \xff", `--queue: "\xff": not UTF-8; see 'everhop consume --help'`},
		{"URL of another kind", "consume --queue q --url http://u:pw@h", "--url: bad URL: it must begin with amqp:// or amqps://; see 'everhop consume --help'"},
		{"second URL bad", "consume --queue q --url amqp://h --url amqp://h:x", "--url: URL 2: bad URL: it cannot be read as amqp[s]://user:password@host:port/vhost; characters such as / ? # @ : in user, password or vhost must be percent-encoded; see 'everhop consume --help'"},
		{"prefetch negative", "consume --prefetch -1", `--prefetch: "-1": expected a whole number from 1 to 65535; see 'everhop consume --help'`},
		{"prefetch no number", "consume --prefetch many", `--prefetch: "many": expected a whole number from 1 to 65535; see 'everhop consume --help'`},
		{"concurrency zero", "consume --concurrency 0", `--concurrency: "0": expected a whole number from 1 to 65535; see 'everhop consume --help'`},
		{"count zero", "consume --count 0", `--count: "0": expected a whole number, 1 or more; see 'everhop consume --help'`},
		{"count negative", "consume --count -3", `--count: "-3": expected a whole number, 1 or more; see 'everhop consume --help'`},
		{"duration without unit", "consume --silence 2", `--silence: "2": expected a duration between 1ms and 3600s, such as 1500ms or 10s; see 'everhop consume --help'`},
		{"duration negative", "consume --probe-timeout=-2s", `--probe-timeout: "-2s": expected a duration between 1ms and 3600s, such as 1500ms or 10s; see 'everhop consume --help'`},
		{"heartbeat too short", "consume --heartbeat 10ms", `--heartbeat: "10ms": expected whole seconds between 1s and 65535s, such as 10s; see 'everhop consume --help'`},
		{"heartbeat too long", "consume --heartbeat 65536s", `--heartbeat: "65536s": expected whole seconds between 1s and 65535s, such as 10s; see 'everhop consume --help'`},
		{"heartbeat between seconds", "consume --heartbeat 1500ms", `--heartbeat: "1500ms": expected whole seconds between 1s and 65535s, such as 10s; see 'everhop consume --help'`},
		{"output", "consume --output xml", `--output: "xml": expected body, jsonl or none; see 'everhop consume --help'`},
		{"log level", "consume --log-level loud", `--log-level: "loud": expected debug, info, warn or error; see 'everhop consume --help'`},
		{"log format", "consume --log-format xml", `--log-format: "xml": expected json or console; see 'everhop consume --help'`},
		{"exec empty", "consume --url amqp://h --queue q --exec=", "--exec: empty; see 'everhop consume --help'"},
		{"exec and output", "consume --url amqp://h --queue q --exec cat --output body", "--output body: with --exec, standard output is the command's; see 'everhop consume --help'"},
		{"timeout without command", "consume --url amqp://h --queue q --timeout 5s", "--timeout: only with --exec, --exec-argv or --http; see 'everhop consume --help'"},
		{"argv without program", "consume --url amqp://h --queue q --exec-argv", "--exec-argv: the command is missing; it stands at the end, behind --: --exec-argv -- PROGRAM ARGUMENT; see 'everhop consume --help'"},
		{"argv without dashes", "consume --url amqp://h --queue q --exec-argv cat x", `unexpected argument "cat"; the command stands at the end, behind --: --exec-argv -- PROGRAM ARGUMENT; see 'everhop consume --help'`},
		{"argv of no program", "consume --url amqp://h --queue q --exec-argv -- no-such-program x", "--exec-argv: no-such-program: executable file not found in $PATH; see 'everhop consume --help'"},
		{"argv of no file", "consume --url amqp://h --queue q --exec-argv -- ./no/such/file", "--exec-argv: ./no/such/file: no such file or directory; see 'everhop consume --help'"},
		{"words without argv", "consume --url amqp://h --queue q -- cat", `unexpected argument "cat"; a command behind -- needs --exec-argv; see 'everhop consume --help'`},
		{"two commands", "consume --url amqp://h --queue q --exec cat --exec-argv -- cat", "--exec-argv: not with --exec; see 'everhop consume --help'"},
		{"command and server", "consume --url amqp://h --queue q --exec cat --http http://h/", "--http: not with --exec; see 'everhop consume --help'"},
		{"server and output", "consume --url amqp://h --queue q --http http://h/ --output jsonl", "--output jsonl: with --http, nothing is written to standard output; see 'everhop consume --help'"},
		{"reject status without command", "consume --url amqp://h --queue q --reject-status 3", "--reject-status: only with --exec or --exec-argv; see 'everhop consume --help'"},
		{"reject status 0", "consume --reject-status 0", `--reject-status: "0": expected exit statuses from 1 to 255, such as 3 or 3,4; see 'everhop consume --help'`},
		{"reject status 3,", "consume --reject-status 3,", `--reject-status: "3,": expected exit statuses from 1 to 255, such as 3 or 3,4; see 'everhop consume --help'`},
		{"reject status taken", "consume --reject-status 75", `--reject-status: "75": exit status 75 has a meaning already; see 'everhop consume --help'`},
		{"server of another kind", "consume --http amqp://u:pw@h/", `--http: "amqp://***@h/": expected an address such as http://localhost:8080/orders; characters such as / ? # @ : in user and password must be percent-encoded; see 'everhop consume --help'`},
		{"server with a bad password", "consume --http http://u:p/w@h/", `--http: "http://***@h/": expected an address such as http://localhost:8080/orders; characters such as / ? # @ : in user and password must be percent-encoded; see 'everhop consume --help'`},
		{"timeout zero", "consume --timeout 0s", `--timeout: "0s": expected a duration between 1ms and 86400s, such as 1500ms or 10s; see 'everhop consume --help'`},
		{"attempts zero", "consume --attempts 0", `--attempts: "0": expected a whole number, 1 or more; see 'everhop consume --help'`},
		{"backoff 5", "consume --backoff 5", `--backoff: "5": expected one duration, or two such as 1s:1m, of which the second is not less; between 1ms and 24h; see 'everhop consume --help'`},
		{"backoff 0s:1s", "consume --backoff 0s:1s", `--backoff: "0s:1s": expected one duration, or two such as 1s:1m, of which the second is not less; between 1ms and 24h; see 'everhop consume --help'`},
		{"backoff 5s:1s", "consume --backoff 5s:1s", `--backoff: "5s:1s": expected one duration, or two such as 1s:1m, of which the second is not less; between 1ms and 24h; see 'everhop consume --help'`},
		{"backoff 1s:25h", "consume --backoff 1s:25h", `--backoff: "1s:25h": expected one duration, or two such as 1s:1m, of which the second is not less; between 1ms and 24h; see 'everhop consume --help'`},
		{"backoff 1s:", "consume --backoff 1s:", `--backoff: "1s:": expected one duration, or two such as 1s:1m, of which the second is not less; between 1ms and 24h; see 'everhop consume --help'`},
		{"backoff 1s:2s:3s", "consume --backoff 1s:2s:3s", `--backoff: "1s:2s:3s": expected one duration, or two such as 1s:1m, of which the second is not less; between 1ms and 24h; see 'everhop consume --help'`},
		{"breaker 50", "consume --breaker 50", `--breaker: "50": expected a number of failures and a pause between 1ms and 24h, such as 100:30s; see 'everhop consume --help'`},
		{"breaker 0:1s", "consume --breaker 0:1s", `--breaker: "0:1s": expected a number of failures and a pause between 1ms and 24h, such as 100:30s; see 'everhop consume --help'`},
		{"breaker x:1s", "consume --breaker x:1s", `--breaker: "x:1s": expected a number of failures and a pause between 1ms and 24h, such as 100:30s; see 'everhop consume --help'`},
		{"breaker 50:0s", "consume --breaker 50:0s", `--breaker: "50:0s": expected a number of failures and a pause between 1ms and 24h, such as 100:30s; see 'everhop consume --help'`},
		{"breaker 50:", "consume --breaker 50:", `--breaker: "50:": expected a number of failures and a pause between 1ms and 24h, such as 100:30s; see 'everhop consume --help'`},
		{"breaker too soon", "consume --queue q --url amqp://h --concurrency 3 --breaker 24:1m", "--breaker 24:1m: a few bad messages could stop it for good; N must be more than --attempts times --concurrency, 24; see 'everhop consume --help'"},
		{"grace zero", "consume --grace 0s", `--grace: "0s": expected a duration between 1ms and 86400s, such as 1500ms or 10s; see 'everhop consume --help'`},
		{"stream offset -1", "consume --stream-offset=-1", `--stream-offset: "-1": expected first, last, next, an offset, a time such as 2026-01-31T12:00:00Z, or an age such as 2h; see 'everhop consume --help'`},
		{"stream offset yesterday", "consume --stream-offset=yesterday", `--stream-offset: "yesterday": expected first, last, next, an offset, a time such as 2026-01-31T12:00:00Z, or an age such as 2h; see 'everhop consume --help'`},
		{"stream offset 2h30m", "consume --stream-offset=2h30m", `--stream-offset: "2h30m": expected first, last, next, an offset, a time such as 2026-01-31T12:00:00Z, or an age such as 2h; see 'everhop consume --help'`},
		{"stream offset 2026-01-31", "consume --stream-offset=2026-01-31", `--stream-offset: "2026-01-31": expected first, last, next, an offset, a time such as 2026-01-31T12:00:00Z, or an age such as 2h; see 'everhop consume --help'`},
		{"stream offset 9223372036854775808", "consume --stream-offset=9223372036854775808", `--stream-offset: "9223372036854775808": expected first, last, next, an offset, a time such as 2026-01-31T12:00:00Z, or an age such as 2h; see 'everhop consume --help'`},
		{"poison", "consume --poison drop", `--poison: "drop": expected park, dead-letter or put-back; see 'everhop consume --help'`},
		{"parking queue without parking", "consume --url amqp://h --queue q --poison put-back --parking-queue p", "--parking-queue: nothing is parked with --poison put-back; see 'everhop consume --help'"},
		{"parking queue empty", "consume --url amqp://h --queue q --parking-queue=", "--parking-queue: empty; see 'everhop consume --help'"},
		{"parking queue the queue itself", "consume --url amqp://h --queue q --parking-queue q", "--parking-queue: it is the queue itself; see 'everhop consume --help'"},
		{"no name for a parking queue", "consume --url amqp://h --queue " + long[:249], "--parking-queue is missing, and the queue's name is too long to make one of; see 'everhop consume --help'"},
		{"publish nowhere", "publish --url amqp://h", "--queue or --exchange is missing; see 'everhop publish --help'"},
		{"publish twice", "publish --url amqp://h --queue q --exchange x", "--queue and --exchange: only one of them; see 'everhop publish --help'"},
		{"publish empty queue", "publish --url amqp://h --queue=", "--queue: empty; see 'everhop publish --help'"},
		{"publish queue and key", "publish --url amqp://h --queue q --routing-key k", "--routing-key: with --queue, it is the queue's name; see 'everhop publish --help'"},
		{"publish records and NUL", "publish --url amqp://h --input jsonl --null", "--null: with --input jsonl, each line is a record; see 'everhop publish --help'"},
		{"publish files and NUL", "publish --url amqp://h --queue q --file x --null", "--null: with --file, each file is a message; see 'everhop publish --help'"},
		{"publish files and records", "publish --url amqp://h --input jsonl --file x", "--input: with --file, each file is a message; see 'everhop publish --help'"},
		{"publish files of lines", "publish --url amqp://h --queue q --input lines --file x", "--input: with --file, each file is a message; see 'everhop publish --help'"},
		{"publish an argument", "publish --url amqp://h --queue q x", `unexpected argument "x"; see 'everhop publish --help'`},
		{"publish input", "publish --input xml", `--input: "xml": expected lines or jsonl; see 'everhop publish --help'`},
		{"publish from line 0", "publish --from-line 0", `--from-line: "0": expected a whole number, 1 or more; see 'everhop publish --help'`},
		{"publish rate 1000", "publish --rate 1000", `--rate: "1000": expected a number of messages per second, minute or hour, such as 1000/s, 90/m or 10/h; see 'everhop publish --help'`},
		{"publish rate 0/s", "publish --rate 0/s", `--rate: "0/s": expected a number of messages per second, minute or hour, such as 1000/s, 90/m or 10/h; see 'everhop publish --help'`},
		{"publish rate 2000000000/s", "publish --rate 2000000000/s", `--rate: "2000000000/s": expected a number of messages per second, minute or hour, such as 1000/s, 90/m or 10/h; see 'everhop publish --help'`},
		{"publish rate 1/d", "publish --rate 1/d", `--rate: "1/d": expected a number of messages per second, minute or hour, such as 1000/s, 90/m or 10/h; see 'everhop publish --help'`},
		{"publish priority 256", "publish --priority 256", `--priority: "256": expected a whole number from 0 to 255; see 'everhop publish --help'`},
		{"publish expiration 1000", "publish --expiration 1000", `--expiration: "1000": expected a duration of whole milliseconds, such as 1500ms or 24h; see 'everhop publish --help'`},
		{"publish expiration negative", "publish --expiration=-1s", `--expiration: "-1s": expected a duration of whole milliseconds, such as 1500ms or 24h; see 'everhop publish --help'`},
		{"publish expiration 1us", "publish --expiration 1us", `--expiration: "1us": expected a duration of whole milliseconds, such as 1500ms or 24h; see 'everhop publish --help'`},
		{"publish type too long", "publish --type " + long, `--type: "` + long + `": 256 bytes, and 255 is the most; see 'everhop publish --help'`},
		{"publish header without value", "publish --header tenant", `--header: "tenant": expected NAME=VALUE, such as tenant=a or x-delay:int=5000; see 'everhop publish --help'`},
		{"publish header without name", "publish --header =a", `--header: "=a": expected NAME=VALUE, such as tenant=a or x-delay:int=5000; see 'everhop publish --help'`},
		{"publish header of another type", "publish --header n:int=a", `--header: "n:int=a": its value is no int; see 'everhop publish --help'`},
		{"publish header too long", "publish --header " + long + "=a", `--header: "` + long + `=a": 256 bytes, and 255 is the most; see 'everhop publish --help'`},
		{"demo graph empty", "demo --dot=", "--dot: empty; see 'everhop demo --help'"},
		{"demo argument", "demo amqp://u:pw@h/", `unexpected argument "amqp://***@h/"; see 'everhop demo --help'`},
		{"graph format", "graph --format gif", `--format: "gif": expected dot, mermaid, markdown, svg or png; see 'everhop graph --help'`},
		{"graph of a journal as a table", "graph --format markdown --journal x", `--format markdown: shows nothing of a journal; see 'everhop graph --help'`},
		{"key header empty", "consume --queue q --url amqp://h --key-header=", "--key-header: empty; see 'everhop consume --help'"},
		{"key header in order", "consume --queue q --url amqp://h --key-header k", "--key-header: with --concurrency 1, the order of all messages is kept; see 'everhop consume --help'"},
		{"dedup none", "consume --dedup 0", `--dedup: "0": expected a whole number, 1 or more; see 'everhop consume --help'`},
		{"no prefetch in bytes", "consume --queue q --url amqp://h --prefetch-bytes 0", `--prefetch-bytes: "0": expected a size of 1B or more, such as 64MiB or 1GiB; see 'everhop consume --help'`},
		{"journal retention alone", "consume --queue q --url amqp://h --journal-retain 1GB", `--journal-retain: only with --journal DIR; see 'everhop consume --help'`},
		{"journal empty", "consume --queue q --url amqp://h --journal= --journal-retain 1GB", `--journal: empty; see 'everhop consume --help'`},
		{"demo journal empty", "demo --journal=", `--journal: empty; see 'everhop demo --help'`},
		{"journal strict alone", "consume --queue q --url amqp://h --journal-strict", `--journal-strict: only with --journal DIR; see 'everhop consume --help'`},
		{"status of nobody", "status", `URL is missing; see 'everhop status --help'`},
		{"status of another scheme", "status :9090 amqp://u:pw@h/", `URL 2: expected an address such as http://host:9090, host:9090 or :9090; see 'everhop status --help'`},
		{"status with a password", "status http://u:pw@h/", `URL 1: expected an address such as http://host:9090, host:9090 or :9090; see 'everhop status --help'`},
		{"status watched as JSON", "status :9090 --json --watch", `--json: not with --watch; see 'everhop status --help'`},
		{"status interval alone", "status :9090 --interval 1s", `--interval: only with --watch; see 'everhop status --help'`},
		{"health of nobody", "health", `URL is missing; see 'everhop health --help'`},
		{"health of two", "health :1 :2", `unexpected argument ":2"; see 'everhop health --help'`},
		{"health without a host", "health http://:9090", `URL 1: expected an address such as http://host:9090, host:9090 or :9090; see 'everhop health --help'`},
		{"listen without port", "consume --listen h", `--listen: "h": expected an address such as 127.0.0.1:9090 or 0.0.0.0:9090, or a port of 127.0.0.1 such as 9090; see 'everhop consume --help'`},
		{"version argument", "version 2", `unexpected argument "2"; see 'everhop version --help'`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			status, stdout, stderr := inProcess(t, strings.Fields(tt.args)...)
			if want := "everhop: " + tt.want + "\n"; status != 2 || stdout != "" || stderr != want {
				t.Errorf("exit status %d, stdout %q, stderr\n%s\nwant 2 and\n%s", status, stdout, stderr, want)
			}
		})
	}
}

func TestCompletion(t *testing.T) {
	tests := []struct {
		args []string
		want string
	}{
		{[]string{"completion", "bash"}, "bash completion V2 for everhop"},
		{[]string{"__complete", "con"}, "consume\t"},
		{[]string{"__complete", "consume", "--sil"}, "--silence\t"},
		{[]string{"__complete", "consume", "--output", ""}, "body\njsonl\nnone\n:4\n"},
	}
	for _, tt := range tests {
		if status, stdout, _ := inProcess(t, tt.args...); status != 0 || !strings.Contains(stdout, tt.want) {
			t.Errorf("%q: exit status %d, stdout\n%s\nwithout %q", tt.args, status, stdout, tt.want)
		}
	}
}

func TestVersion(t *testing.T) {
	_, command, _ := inProcess(t, "version")
	_, flag, _ := inProcess(t, "--version")
	if !strings.HasPrefix(command, "everhop ") || !strings.Contains(command, " go1.") || command != "everhop "+flag {
		t.Errorf("version: %q, --version: %q", command, flag)
	}
}

// Each command's help tells all exit statuses that it has, and no other; that of everhop those of all commands.
func TestExitStatuses(t *testing.T) {
	server := oneQueue(t, "1")
	damaged := t.TempDir()
	segment := makeJournal(t, damaged, consumer.Lifecycle(), consumer.Connect)
	if err := os.WriteFile(segment, []byte("{}\n{}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	nowhere := filepath.Join(t.TempDir(), "missing", "file")
	ready, away, nobody := answers(t, 200, string(madeDocument(t, "poison"))), answers(t, 200, string(madeDocument(t, "away"))), rabbittest.DeadPort(t)
	tests := []struct {
		command  string
		statuses []string // the arguments that lead to status 0, 1, 2, ...
	}{
		{"consume", []string{
			"--count 1 --queue q --url " + server.URL(), "--queue q --url amqps://h?cacertfile=" + nowhere, "",
			"--queue q --url amqp://h --journal " + damaged,
		}},
		{"status", []string{ready, away, "", nobody}},
		{"health", []string{ready, nobody, ""}},
		{"doctor", []string{
			"--url " + server.URL(), "--url " + server.URL() + "?channel_max=4", "", "--url amqp://" + nobody,
		}},
		{"publish", []string{
			"--queue q --url " + server.URL(), "--queue q --url amqps://h?cacertfile=" + nowhere, "",
			"--queue q --url amqp://h --journal " + damaged,
		}},
		{"demo", []string{"", "--dot " + nowhere, "--dot=", "--journal " + damaged}},
	}
	for _, tt := range tests {
		var have []string
		for want, args := range tt.statuses {
			ctx, interrupt := context.WithCancel(t.Context())
			if tt.command == "demo" {
				interrupt()
			}
			var out transcript
			if got := run(ctx, strings.Fields(tt.command+" "+args), strings.NewReader(""), &out, &out); got != want {
				t.Errorf("%s %s: exit status %d, want %d\n%s", tt.command, args, got, want, &out)
			}
			interrupt()
			have = append(have, strconv.Itoa(want))
		}
		told := slices.DeleteFunc(toldStatuses(t, tt.command), func(s string) bool { return s == "130" }) // after a signal: see TestSecondSignal
		if !slices.Equal(told, have) {
			t.Errorf("%s --help tells of exit status %s; it has %s", tt.command, told, have)
		}
	}
	var all []string
	for _, args := range helped(newRoot(nil, nil, nil))[1:] {
		all = append(all, toldStatuses(t, args...)...)
	}
	slices.SortFunc(all, func(a, b string) int { return cmp.Or(len(a)-len(b), strings.Compare(a, b)) })
	if told, all := toldStatuses(t), slices.Compact(all); !slices.Equal(told, all) {
		t.Errorf("everhop --help tells of exit status %s; its commands of %s", told, all)
	}
}

// toldStatuses are the numbers in the paragraph "Exit status: ..." of a command's help, or "Exit status, of
// everhop itself: ...".
func toldStatuses(t *testing.T, command ...string) []string {
	t.Helper()
	_, help, _ := inProcess(t, append(command, "--help")...)
	told := regexp.MustCompile(`(?ms)^Exit status[^:\d]*:.*?\n\n`).FindString(help)
	return regexp.MustCompile(`\b\d+\b`).FindAllString(told, -1)
}
