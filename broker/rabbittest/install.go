package rabbittest

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
)

// ErrNotInstalled is returned by [Start] on a machine without RabbitMQ, or without the version that was
// asked for and without what it takes to get it. The error then says more.
var ErrNotInstalled = errors.New("rabbittest: RabbitMQ is not installed: " +
	"apt-get install rabbitmq-server, or set EVERHOP_TEST_URL to the URL of a broker that tests may use")

// installation is where a RabbitMQ is: the system's, or one in a root of its own.
type installation struct {
	root    string // empty: the system's
	server  string
	ctl     string
	upgrade string // rabbitmq-upgrade, which is where ctl is
	epmd    string
	erlCall string // empty: not there, rabbitmqctl eval does its work
}

// findInstallation looks for a version, such as "4.0", or takes what the system has if it is empty. What the
// system has not, it looks for in a root, which may take minutes to make.
func findInstallation(ctx context.Context, version string) (installation, error) {
	system, err := findTools(exec.LookPath)
	if version == "" {
		return system, err
	}
	if err == nil && strings.HasPrefix(system.version()+".", version+".") {
		return system, nil
	}
	return findInRoot(ctx, version)
}

// Debian puts wrappers on the PATH that refuse every user but root and
// rabbitmq; the real scripts in lib serve anyone, so they are looked for first.
var folders = []string{"/usr/lib/rabbitmq/bin", "", "/usr/sbin"}

func findTools(look func(string) (string, error)) (installation, error) {
	for _, folder := range folders {
		server, err := look(filepath.Join(folder, "rabbitmq-server"))
		if err != nil {
			continue
		}
		ctl, err := look(filepath.Join(folder, "rabbitmqctl"))
		if err != nil {
			continue
		}
		epmd, err := look("epmd")
		if err != nil {
			return installation{}, fmt.Errorf("rabbittest: Erlang's epmd: %w", err)
		}
		if _, err := exec.LookPath("sh"); err != nil {
			return installation{}, fmt.Errorf("rabbittest: the watchdog needs a shell: %w", err)
		}
		erlCall, _ := look("erl_call")
		return installation{server: server, ctl: ctl, upgrade: filepath.Join(filepath.Dir(ctl), "rabbitmq-upgrade"), epmd: epmd, erlCall: erlCall}, nil
	}
	return installation{}, ErrNotInstalled
}

// sbin is where the scripts are that others lead to: in rabbitmq_server-4.0.5 or rabbitmq/4.0.5.
var sbin = regexp.MustCompile(`(\d+\.\d+\.\d+)/sbin/`)

// version is the one that the server's place tells, or empty. To ask it would take a second.
func (i installation) version() string {
	if server, err := filepath.EvalSymlinks(i.server); err == nil {
		if found := sbin.FindStringSubmatch(server); found != nil {
			return found[1]
		}
	}
	return ""
}

// command is one of the tools, in the environment of a node.
func (i installation) command(l layout, tool string, args ...string) *exec.Cmd {
	if i.root != "" {
		return enter(i.root, l, tool, args...)
	}
	cmd := exec.Command(tool, args...)
	cmd.Dir = l.dir
	cmd.Env = l.environ(l.dir)
	ownGroup(cmd)
	return cmd
}
