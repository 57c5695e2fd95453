package rabbittest

import (
	"context"
	"fmt"
	"net"
	"strconv"
	"time"
)

// startEpmd starts Erlang's daemon for names, for one node or one cluster. Erlang would start one for the whole
// machine, which would stay for ever.
func startEpmd(ctx context.Context, tools installation, l layout) (*process, error) {
	port := strconv.Itoa(l.namesPort)
	epmd, err := launch(tools.command(l, tools.epmd, "-address", "127.0.0.1", "-port", port))
	if err != nil {
		return nil, fmt.Errorf("rabbittest: epmd: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, bootTimeout)
	defer cancel()
	retry := time.NewTicker(pollInterval)
	defer retry.Stop()
	for {
		conn, err := new(net.Dialer).DialContext(ctx, "tcp", net.JoinHostPort("127.0.0.1", port))
		if err == nil {
			conn.Close()
			return epmd, nil
		}
		select {
		case <-retry.C:
			continue
		case <-epmd.done:
			return nil, fmt.Errorf("rabbittest: epmd: %s", epmd.cmd.ProcessState)
		case <-ctx.Done():
			epmd.kill()
			return nil, fmt.Errorf("rabbittest: epmd does not listen: %w", ctx.Err())
		}
	}
}
