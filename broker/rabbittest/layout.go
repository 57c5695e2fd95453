package rabbittest

import (
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// layout is what a node keeps from one start to the next: its folder, its name
// and its ports.
//
//	dir/rabbitmq.conf      the listener
//	dir/rabbitmq-env.conf  empty, so that the system's is not read
//	dir/enabled_plugins    none
//	dir/.erlang.cookie     written by the first start
//	dir/server.log         standard output and error
//	dir/data, dir/log      RabbitMQ's own
type layout struct {
	dir      string
	name     string // unique: taken from the folder
	addr     string // of the AMQP listener
	distPort int    // of the Erlang distribution
}

func newLayout() (layout, error) {
	ports, err := freePorts(2)
	if err != nil {
		return layout{}, err
	}
	dir, err := os.MkdirTemp("", "rabbittest-")
	if err != nil {
		return layout{}, err
	}
	l := layout{
		dir:      dir,
		name:     filepath.Base(dir) + "@localhost",
		addr:     net.JoinHostPort("127.0.0.1", strconv.Itoa(ports[0])),
		distPort: ports[1],
	}
	for name, text := range map[string]string{
		"rabbitmq.conf":     "listeners.tcp.1 = " + l.addr + "\n",
		"rabbitmq-env.conf": "",
		"enabled_plugins":   "[].\n",
	} {
		if err := os.WriteFile(l.path(name), []byte(text), 0o600); err != nil {
			os.RemoveAll(dir)
			return layout{}, err
		}
	}
	return l, nil
}

func (l layout) path(name string) string { return filepath.Join(l.dir, name) }

// environ is the environment of the node and of the tools that talk to it: the
// caller's, less what it says about another RabbitMQ.
func (l layout) environ() []string {
	const loopback = "-kernel inet_dist_use_interface {127,0,0,1}"
	var env []string
	for _, entry := range os.Environ() {
		if !strings.HasPrefix(entry, "RABBITMQ_") {
			env = append(env, entry)
		}
	}
	return append(env,
		"HOME="+l.dir, // a cookie of its own
		"ERL_EPMD_ADDRESS=127.0.0.1",
		"ERL_CRASH_DUMP_SECONDS=0", // server.log says enough
		"RABBITMQ_NODENAME="+l.name,
		"RABBITMQ_DIST_PORT="+strconv.Itoa(l.distPort),
		"RABBITMQ_MNESIA_BASE="+l.path("data"),
		"RABBITMQ_LOG_BASE="+l.path("log"),
		"RABBITMQ_CONFIG_FILE="+l.path("rabbitmq.conf"),
		"RABBITMQ_CONF_ENV_FILE="+l.path("rabbitmq-env.conf"),
		"RABBITMQ_ENABLED_PLUGINS_FILE="+l.path("enabled_plugins"),
		"RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS="+loopback,

		// The default range is 11 ports for all rabbitmqctl of a machine; 0 lets the
		// system choose.
		"RABBITMQ_CTL_ERL_ARGS="+loopback,
		"RABBITMQ_CTL_DIST_PORT_MIN=0",
		"RABBITMQ_CTL_DIST_PORT_MAX=0",

		// Busy waiting halves the time of a start: loading code is a long chain of
		// short waits.
		"RABBITMQ_SCHEDULER_BUSY_WAIT_THRESHOLD=short",

		// The start script then becomes the Erlang machine instead of waiting for it,
		// so that the process started here is the one to kill.
		"RUNNING_UNDER_SYSTEMD=true",
	)
}
