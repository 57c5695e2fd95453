//go:build unix

package main

import (
	"encoding/json"
	"net"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/everhop/everhop/broker/rabbittest"
)

// A broker whose standard input tells nothing ends with the process that has started it.
func TestBrokerEndsWithItsParent(t *testing.T) {
	p := prepare(t, "broker")
	read, write, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer read.Close()
	parent := exec.Command("sh", append([]string{"-c", `"$0" "$@" </dev/null & read -r end`, p.cmd.Path}, p.cmd.Args[1:]...)...)
	parent.Env, parent.Stdout = p.cmd.Env, write
	input, err := parent.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := parent.Start(); err != nil {
		t.Fatal(err)
	}
	write.Close()
	var ready brokerReady
	if err := json.NewDecoder(read).Decode(&ready); err != nil {
		t.Fatal(err)
	}
	listens := func() bool {
		conn, err := net.Dial("tcp", strings.TrimPrefix(ready.Control, "http://"))
		if err == nil {
			conn.Close()
		}
		return err == nil
	}
	if !listens() {
		t.Error("it has ended before its parent")
	}
	input.Close()
	_ = parent.Wait() // read fails
	rabbittest.Eventually(t, patience, "the broker has ended", func() bool { return !listens() })
}
