package rabbittest

import (
	"context"
	"errors"
	"fmt"
)

// clusterSize is the smallest with a majority that outlives a node.
const clusterSize = 3

// Cluster is three private nodes, each of which may be killed and restarted.
type Cluster struct{ Nodes []*Node }

// StartCluster starts three nodes that form a cluster, and waits until all are ready. ctx and errors are as with
// [Start]. The caller calls Stop.
func StartCluster(ctx context.Context, options ...Option) (*Cluster, error) {
	nodes, err := start(ctx, clusterSize, options)
	if err != nil {
		return nil, err
	}
	for _, n := range nodes {
		if err := n.expect(ctx, fmt.Sprintf("rabbit_nodes:await_running_count(%d, %d).", clusterSize, bootTimeout.Milliseconds())); err != nil {
			return nil, errors.Join(err, stop(nodes))
		}
	}
	return &Cluster{nodes}, nil
}

// Stop stops all nodes, as their own Stop does. It is idempotent; Nodes are not to be stopped otherwise.
func (c *Cluster) Stop() error { return stop(c.Nodes) }
