package main

import (
	"encoding/json"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/everhop/everhop/broker/brokertest"
	"github.com/everhop/everhop/broker/rabbittest"
	"github.com/everhop/everhop/cmd/everhop/internal/scripts"
)

// The exit status says how bad it is, and each line what to do.
func TestDoctor(t *testing.T) {
	server := brokertest.NewServer(t, brokertest.Version("4.0"))
	for _, queue := range []string{"well", "poor"} {
		if err := server.DeclareQueue(queue, nil); err != nil {
			t.Fatal(err)
		}
	}
	if err := server.Publish("poor", "x"); err != nil {
		t.Fatal(err)
	}
	script := filepath.Join(t.TempDir(), "handle")
	scripts.Write(t, script, "#!/nosuch/python\n")
	tests := []struct {
		args   []string
		status int
		says   string
	}{
		{[]string{"--queue", "well", "--exec", "cat; date", "--journal", t.TempDir()}, 0, "ok       command      the shell runs it"},
		{[]string{"--queue", "poor"}, 1, "warning  consumers    poor: 1 messages wait, and nobody consumes -> start a consumer"},
		{[]string{"--queue", "none"}, 3, `broken   queue        none: there is no such queue in the virtual host "/" -> check its name`},
		{[]string{"--queue", "well", "--exec", script}, 3, "broken   command      " + script + ": its interpreter /nosuch/python is not there"},
		{[]string{"--queue", "well", "--exec", "nosuch-program x"}, 3, "broken   command      nosuch-program: not found in PATH"},
		{[]string{"--queue", "well", "--prefetch", "40", "--handling-time", "1h"}, 1, "warning  timeout      well: 40 messages of 1h0m0s each"},
	}
	for _, tt := range tests {
		t.Run(strings.Join(tt.args, " "), func(t *testing.T) {
			status, stdout, stderr := inProcess(t, append([]string{"doctor", "--url", server.URL()}, tt.args...)...)
			if status != tt.status || !strings.Contains(stdout, tt.says) || stderr != "" {
				t.Errorf("exit status %d, %s%s; want %d, %s", status, stdout, stderr, tt.status, tt.says)
			}
		})
	}
}

func TestDoctorJSON(t *testing.T) {
	const secret = "Zx9distinctive"
	server := brokertest.NewServer(t)
	server.SetPassword("guest", "other")
	status, stdout, stderr := inProcess(t, "doctor", "--json", "--url", "amqp://guest:"+secret+"@"+server.Addr(), "--management", "http://u:"+secret+"@"+rabbittest.DeadPort(t))
	var doc struct {
		Version int
		Status  string
		Checks  []map[string]string
	}
	if err := json.Unmarshal([]byte(stdout), &doc); err != nil {
		t.Fatal(err, stdout)
	}
	var broken []string
	for _, check := range doc.Checks {
		if check["status"] == "broken" {
			broken = append(broken, check["check"])
			if check["text"] == "" || check["advice"] == "" {
				t.Errorf("no words: %v", check)
			}
		}
	}
	if status != 3 || doc.Version != 1 || doc.Status != "broken" || !slices.Equal(broken, []string{"login", "management"}) {
		t.Errorf("exit status %d, %s", status, stdout)
	}
	if strings.Contains(stdout+stderr, secret) {
		t.Errorf("the password is in %s%s", stdout, stderr)
	}
}

func TestDoctorUsage(t *testing.T) {
	for args, want := range map[string]string{
		"":                                         "--url is missing",
		"--url amqp://h --queue=":                  "--queue: empty",
		"--url amqp://h --exec=":                   "--exec: empty",
		"--url amqp://h --journal=":                "--journal: empty",
		"--url amqp://h --prefetch 5":              "--prefetch: only with --handling-time",
		"--url amqp://h --handling-time 5s":        "--handling-time: only with --queue",
		"--url amqp://h --management amqp://u:p@h": "--management: expected http",
		"--url amqp://h x":                         `unexpected argument "x"`,
	} {
		status, _, stderr := inProcess(t, append([]string{"doctor"}, strings.Fields(args)...)...)
		if status != 2 || !strings.Contains(stderr, want) {
			t.Errorf("%s: exit status %d, %s", args, status, stderr)
		}
	}
}
