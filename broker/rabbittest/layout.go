package rabbittest

import (
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// layout is what a node keeps from one start to the next: its folder, its name
// and its ports.
//
//	dir/rabbitmq.conf      the listener, and the other nodes of the cluster
//	dir/rabbitmq-env.conf  empty, so that the system's is not read
//	dir/enabled_plugins    none
//	dir/.erlang.cookie     the same in a cluster
//	dir/server.log         standard output and error
//	dir/data, dir/log      RabbitMQ's own
type layout struct {
	dir       string
	name      string   // unique: taken from the folder
	cluster   []string // the names of all nodes, this one among them
	addr      string   // of the AMQP listener
	distPort  int      // of the Erlang distribution
	namesPort int      // of epmd, where nodes find each other's distPort
	ports     []port   // the node's own; of the nodes of a cluster the first has the one of epmd
}

// newLayouts makes the folders of nodes that are to form a cluster.
func newLayouts(count int) (layouts []layout, err error) {
	ports, err := claimPorts(2*count + 1)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			release(ports)
			for _, l := range layouts {
				err = errors.Join(err, os.RemoveAll(l.dir))
			}
		}
	}()
	var names []string
	for i := range count {
		dir, err := os.MkdirTemp("", "rabbittest-")
		if err != nil {
			return layouts, err
		}
		layouts = append(layouts, layout{
			dir:       dir,
			name:      filepath.Base(dir) + "@localhost",
			addr:      ports[2*i].addr,
			distPort:  ports[2*i+1].number,
			namesPort: ports[2*count].number,
			ports:     ports[2*i : 2*i+2],
		})
		names = append(names, layouts[i].name)
	}
	layouts[0].ports = append(slices.Clone(layouts[0].ports), ports[2*count])
	cookie := rand.Text()
	for i := range layouts {
		layouts[i].cluster = names
		if err := layouts[i].write(cookie); err != nil {
			return layouts, err
		}
	}
	return layouts, nil
}

func (l layout) write(cookie string) error {
	conf := "listeners.tcp.1 = " + l.addr + "\n"
	if len(l.cluster) > 1 {
		conf += "cluster_formation.peer_discovery_backend = classic_config\n"
		for i, name := range l.cluster {
			conf += fmt.Sprintf("cluster_formation.classic_config.nodes.%d = %s\n", i+1, name)
		}
	}
	for name, text := range map[string]string{
		"rabbitmq.conf":     conf,
		"rabbitmq-env.conf": "",
		"enabled_plugins":   "[].\n",
		".erlang.cookie":    cookie,
	} {
		if err := os.WriteFile(l.path(name), []byte(text), 0o600); err != nil {
			return err
		}
	}
	return nil
}

func (l layout) path(name string) string { return filepath.Join(l.dir, name) }

// environ is the environment of the node and of the tools that talk to it, for whom the folder is at home:
// the caller's, less what it says about another RabbitMQ.
func (l layout) environ(home string) []string {
	const loopback = "-kernel inet_dist_use_interface {127,0,0,1}"
	var env []string
	for _, entry := range os.Environ() {
		if !strings.HasPrefix(entry, "RABBITMQ_") {
			env = append(env, entry)
		}
	}
	in := func(name string) string { return filepath.Join(home, name) }
	return append(env,
		"HOME="+home, // a cookie of its own
		"ERL_EPMD_ADDRESS=127.0.0.1",
		"ERL_EPMD_PORT="+strconv.Itoa(l.namesPort),
		"ERL_CRASH_DUMP_SECONDS=0", // server.log says enough
		"RABBITMQ_NODENAME="+l.name,
		"RABBITMQ_DIST_PORT="+strconv.Itoa(l.distPort),
		"RABBITMQ_MNESIA_BASE="+in("data"),
		"RABBITMQ_LOG_BASE="+in("log"),
		"RABBITMQ_CONFIG_FILE="+in("rabbitmq.conf"),
		"RABBITMQ_CONF_ENV_FILE="+in("rabbitmq-env.conf"),
		"RABBITMQ_ENABLED_PLUGINS_FILE="+in("enabled_plugins"),
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
