// Package rabbittest gives tests of AMQP clients real parts: private RabbitMQ
// nodes, and a TCP proxy that breaks the connection to one of them.
//
//	client ──────► Proxy ──────► Node
//	               Reset         Kill, Restart
//	               Refuse        Freeze, SuspendQueue
//	               Freeze        StopApp, StartApp, Drain
//	               Limit         CloseConnections, MemoryAlarm
//
// A [Node] is a RabbitMQ server of its own, started from the system's rabbitmq-server or, for another [Version], out of
// a root that has it: its own data folder, cookie and name, listening on 127.0.0.1 only, without plugins. It runs as
// the user who runs the test, root or not, and any number of nodes run side by side. A node that its process did not
// stop, because a test panicked, timed out or was killed, is killed and removed by a watchdog a moment after that
// process is gone.
//
// A [Cluster] is three nodes that share their queues, and may be cut off from each other. [Node.Has] tells in what
// the node's version differs from others.
//
// A [Proxy] stands between a client and a node, or any other TCP server, and
// plays what networks do: connections that are reset, refused, silent, or slow.
//
// # What the caller must do
//
//  1. Install RabbitMQ (apt-get install rabbitmq-server), or set
//     EVERHOP_TEST_URL to a broker that tests may use. EVERHOP_TEST_RABBITMQ=4.3
//     asks for that version. Without any, [Shared] skips the test and says what
//     is missing; with EVERHOP_TEST_REQUIRE=1 it fails it. With -short it skips
//     the test in any case.
//  2. Call [Main] in TestMain, or Stop each node or cluster that was started.
//  3. Leave a shared node as it was found: alarm off, application started.
//  4. Keep names of queues unique to a test: the node is shared by a package.
//
// A complete test:
//
//	func TestMain(m *testing.M) { rabbittest.Main(m, func() error { return goleak.Find() }) }
//
//	func TestRevive(t *testing.T) {
//		node := rabbittest.Shared(t)
//		proxy, err := rabbittest.NewProxy(node.Addr())
//		if err != nil {
//			t.Fatal(err)
//		}
//		defer proxy.Close()
//
//		client := startClient(proxy.URL(node.URL()))
//		proxy.Reset()
//		rabbittest.Eventually(t, 5*time.Second, "the client is back", client.Healthy)
//	}
package rabbittest
