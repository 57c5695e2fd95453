package rabbittest

import (
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
)

// ErrNotInstalled is returned by [Start] on a machine without RabbitMQ.
var ErrNotInstalled = errors.New("rabbittest: RabbitMQ is not installed: " +
	"apt-get install rabbitmq-server, or set EVERHOP_TEST_URL to the URL of a broker that tests may use")

// installation is where the system's RabbitMQ is.
type installation struct {
	server  string
	ctl     string
	erlCall string // empty: not there, rabbitmqctl eval does its work
}

// Debian puts wrappers on the PATH that refuse every user but root and
// rabbitmq; the real scripts in lib serve anyone, so they are looked for first.
var folders = []string{"/usr/lib/rabbitmq/bin", "", "/usr/sbin"}

func findInstallation() (installation, error) {
	for _, folder := range folders {
		server, err := exec.LookPath(filepath.Join(folder, "rabbitmq-server"))
		if err != nil {
			continue
		}
		ctl, err := exec.LookPath(filepath.Join(folder, "rabbitmqctl"))
		if err != nil {
			continue
		}
		if _, err := exec.LookPath("sh"); err != nil {
			return installation{}, fmt.Errorf("rabbittest: the watchdog needs a shell: %w", err)
		}
		erlCall, _ := exec.LookPath("erl_call")
		return installation{server: server, ctl: ctl, erlCall: erlCall}, nil
	}
	return installation{}, ErrNotInstalled
}
