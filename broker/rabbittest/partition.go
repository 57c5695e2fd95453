package rabbittest

import (
	"context"
	"fmt"
	"strings"
)

// cookies has a node use another cookie towards others, and leave them: neither side can connect to the other then.
const cookies = `
[begin erlang:set_cookie(Other, %[1]s), %[2]s end || Other <- [%[3]s]], ok.
`

// Isolate cuts the network between a node of the cluster and the others, while clients still reach all of them.
// Rejoin mends it. What the node does meanwhile is for cluster_partition_handling to say; see PauseMinority.
func (c *Cluster) Isolate(ctx context.Context, n *Node) error {
	return n.expect(ctx, fmt.Sprintf(cookies, "isolated", "erlang:disconnect_node(Other)", c.others(n)))
}

// Rejoin undoes Isolate.
func (c *Cluster) Rejoin(ctx context.Context, n *Node) error {
	return n.expect(ctx, fmt.Sprintf(cookies, "erlang:get_cookie()", "net_adm:ping(Other)", c.others(n)))
}

func (c *Cluster) others(n *Node) string {
	var names []string
	for _, other := range c.Nodes {
		if other != n {
			names = append(names, "'"+other.name+"'")
		}
	}
	return strings.Join(names, ",")
}

// PauseMinority has the node stop serving while it sees less than half of the cluster, until it is started anew.
func (n *Node) PauseMinority(ctx context.Context) error {
	return n.expect(ctx, "application:set_env(rabbit, cluster_partition_handling, pause_minority).\n")
}

// Drain puts the node into maintenance mode: it closes its listeners and connections, and others lead its quorum
// queues. A restart ends it.
func (n *Node) Drain(ctx context.Context) error {
	_, err := n.run(ctx, "", n.tools.upgrade, "drain")
	return err
}
