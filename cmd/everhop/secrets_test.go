package main

import (
	"fmt"
	"net/url"
	"os"
	"strings"
	"testing"

	"github.com/everhop/everhop/broker/rabbittest"
)

// A wrong password ends the program, and is shown nowhere: not to ps while it runs, not on any output.
func TestSecrets(t *testing.T) {
	const secret = "Zx9distinctive"
	if _, err := os.Stat("/proc/self/cmdline"); err != nil {
		t.Skip("needs /proc/PID/cmdline, which Linux has")
	}
	for _, command := range []string{"consume", "publish"} {
		t.Run(command, func(t *testing.T) {
			proxy := newProxy(t)
			proxy.Freeze(rabbittest.Both) // so that there is time to look
			wrong, err := url.Parse(proxy.URL(rabbittest.Shared(t).URL()))
			if err != nil {
				t.Fatal(err)
			}
			wrong.User = url.UserPassword(wrong.User.Username(), secret)
			p := prepare(t, command, "--queue", "q", "--url", wrong.String())
			p.start()
			cmdline := func() string {
				text, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", p.cmd.Process.Pid))
				if err != nil {
					t.Fatal(err)
				}
				return string(text)
			}
			rabbittest.Eventually(t, patience, "it connects", func() bool { return proxy.Connections() > 0 })
			if got := cmdline(); strings.Contains(got, secret) || !strings.Contains(got, "amqp://****") {
				t.Errorf("the command line is %q", got)
			}
			proxy.Thaw()
			p.wait(1)
			for _, output := range []string{p.stdout.String(), p.stderr.String()} {
				if strings.Contains(output, secret) {
					t.Errorf("the password is in\n%s", output)
				}
			}
			p.logs("everhop: ")
			p.logs("ACCESS_REFUSED")
		})
	}
}
