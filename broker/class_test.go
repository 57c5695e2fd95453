package broker

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/everhop/everhop/broker/brokertest"
)

// said is what amqp091-go makes of a connection.close or channel.close.
func said(code int, text string) error {
	return &amqp.Error{Code: code, Reason: text, Server: true}
}

func syscallError(op string, errno syscall.Errno) error {
	return &net.OpError{Op: op, Net: "tcp", Err: os.NewSyscallError(op, errno)}
}

var classifyTests = []struct {
	name string
	why  string
	err  error
	want Class
	code int
}{
	{"nil", "nothing happened", nil, "", 0},

	// What the broker said: the code, and where that is ambiguous the phrase.
	{"311 content too large", "a smaller message, or a higher limit, passes",
		said(311, "CONTENT_TOO_LARGE"), Resource, 311},
	{"313 no consumers", "a consumer may come",
		said(313, "NO_CONSUMERS"), Resource, 313},
	{"320 shutdown", "the node comes back",
		said(320, "CONNECTION_FORCED - broker forced connection closure with reason 'shutdown'"), BrokerShutdown, 320},
	{"320 closed by an operator", "nothing is wrong with us",
		said(320, "CONNECTION_FORCED - Closed via management plugin"), BrokerShutdown, 320},
	{"402 invalid path", "the specification's word for an unknown virtual host",
		said(402, "INVALID_PATH - unknown vhost 'x'"), VHost, 402},
	{"403 login refused", "the password will be wrong in an hour too",
		said(403, "ACCESS_REFUSED - Login was refused using authentication mechanism PLAIN. For details see the broker logfile."), Auth, 403},
	{"403 queue refused", "the user lacks a permission",
		said(403, "ACCESS_REFUSED - access to queue 'q' in vhost '/' refused for user 'guest'"), Auth, 403},
	{"403 reading refused", "4.0 names the permission that the user lacks",
		said(403, "ACCESS_REFUSED - read access to queue 'q' in vhost '/' refused for user 'guest'"), Auth, 403},
	{"403 writing refused", "4.0 names the permission that the user lacks",
		said(403, "ACCESS_REFUSED - write access to exchange 'amq.default' in vhost '/' refused for user 'guest'"), Auth, 403},
	{"403 configuring refused", "4.0 names the permission that the user lacks",
		said(403, "ACCESS_REFUSED - configure access to queue 'q' in vhost '/' refused for user 'guest'"), Auth, 403},
	{"403 exclusive consumer", "the other consumer can end",
		said(403, "ACCESS_REFUSED - queue 'q' in vhost '/' in exclusive use"), Exclusive, 403},
	{"404 no queue", "somebody must declare it",
		said(404, "NOT_FOUND - no queue 'q' in vhost '/'"), NotFound, 404},
	{"404 no exchange", "somebody must declare it",
		said(404, "NOT_FOUND - no exchange 'x' in vhost '/'"), NotFound, 404},
	{"404 node down", "the queue exists, its node does not run",
		said(404, "NOT_FOUND - home node 'rabbit@x' of durable queue 'q' in vhost '/' is down or inaccessible"), BrokerShutdown, 404},
	{"404 queue process stopped", "the queue exists, it is being moved or restarted",
		said(404, "NOT_FOUND - queue 'q' in vhost '/' process is stopped by supervisor"), BrokerShutdown, 404},
	{"404 queue process crashed", "the queue exists, an operator can restart it",
		said(404, "NOT_FOUND - queue 'q' in vhost '/' has crashed and failed to restart"), BrokerShutdown, 404},
	{"404 queue timed out", "the queue exists, its node is slow or cut off",
		said(404, "NOT_FOUND - failed to perform operation on queue 'q' in vhost '/' due to timeout"), BrokerShutdown, 404},
	{"405 exclusive queue", "its connection, often our previous one, can end",
		said(405, "RESOURCE_LOCKED - cannot obtain exclusive access to locked queue 'q' in vhost '/'"), Exclusive, 405},
	{"406 inequivalent default queue type, 3.10", "the virtual host's default has changed, or there is none",
		said(406, "PRECONDITION_FAILED - inequivalent arg 'x-queue-type' for queue 'q' in vhost '/': received none but current is the value 'quorum' of type 'longstr'"), Precondition, 406},
	{"406 inequivalent argument", "two descriptions of a queue disagree",
		said(406, "PRECONDITION_FAILED - inequivalent arg 'durable' for queue 'q' in vhost '/': received 'false' but current is 'true'"), Precondition, 406},
	{"406 consumer timeout", "a handler took longer than the broker waits",
		said(406, "PRECONDITION_FAILED - delivery acknowledgement on channel 1 timed out. Timeout value used: 1800000 ms. "+
			"This timeout value can be configured, see consumers doc guide to learn more"), ConsumerTimeout, 406},
	{"406 consumer timeout of a cancelled consumer", "4.3: of a quorum queue, when the acknowledgement is late",
		said(406, "PRECONDITION_FAILED - delivery acknowledgement on channel 1 timed out. Timeout value used: -1 ms. "+
			"This timeout value can be configured, see consumers doc guide to learn more"), ConsumerTimeout, 406},
	{"406 queue type", "two descriptions of a queue disagree",
		said(406, "PRECONDITION_FAILED - inequivalent arg 'x-queue-type' for queue 'q' in vhost '/': received 'quorum' but current is 'classic'"), Precondition, 406},
	{"406 exchange type", "two descriptions of an exchange disagree",
		said(406, "PRECONDITION_FAILED - inequivalent arg 'type' for exchange 'x' in vhost '/': received 'fanout' but current is 'topic'"), Precondition, 406},
	{"406 invalid exchange type", "4.0: its plugin is not enabled",
		said(406, "PRECONDITION_FAILED - invalid exchange type 'x'"), Precondition, 406},
	{"406 invalid queue type", "it will be as unknown in an hour",
		said(406, "PRECONDITION_FAILED - invalid arg 'x-queue-type' for queue 'q' in vhost '/': \"unsupported queue type 'x'\""), Precondition, 406},
	{"406 what a queue type cannot be", "a quorum queue is never exclusive",
		said(406, "PRECONDITION_FAILED - invalid property 'exclusive-owner' for queue 'q' in vhost '/'"), Precondition, 406},
	{"406 what a queue type does not know", "only a stream has offsets",
		said(406, "PRECONDITION_FAILED - invalid arg 'x-stream-offset' for queue 'q' in vhost '/' of queue type rabbit_classic_queue"), Precondition, 406},
	{"406 too large a message", "4.0: above 16 MiB by default",
		said(406, "PRECONDITION_FAILED - message size 16777217 is larger than configured max size 16777216"), Precondition, 406},
	{"406 unknown delivery tag", "it was acknowledged twice",
		said(406, "PRECONDITION_FAILED - unknown delivery tag 1"), Precondition, 406},
	{"406 queue limit", "it passes when somebody deletes a queue",
		said(406, "PRECONDITION_FAILED - cannot declare queue 'q': queue limit in vhost '/' (1) is reached"), Resource, 406},
	{"406 queue limit of a cluster", "4.0: it passes when somebody deletes a queue",
		said(406, "PRECONDITION_FAILED - cannot declare queue 'q': queue limit in cluster (1) is reached"), Resource, 406},
	{"406 exchange limit", "4.3: it passes when somebody deletes an exchange",
		said(406, "PRECONDITION_FAILED - cannot declare exchange 'x' in vhost '/': exchange limit of 1 is reached"), Resource, 406},
	{"406 named after a limit", "a name decides nothing",
		said(406, "PRECONDITION_FAILED - inequivalent arg 'durable' for queue 'cannot declare ' in vhost 'it (1) is reached': received 'true' but current is 'false'"), Precondition, 406},
	{"501 frame error", "", said(501, "FRAME_ERROR"), Protocol, 501},
	{"502 syntax error", "", said(502, "SYNTAX_ERROR"), Protocol, 502},
	{"503 command invalid", "", said(503, "COMMAND_INVALID - second 'channel.open' seen"), Protocol, 503},
	{"503 invalid exchange type", "3.10: its plugin is not enabled", said(503, "COMMAND_INVALID - invalid exchange type 'x'"), Precondition, 503},
	{"503 unknown exchange type", "3.10: its plugin is not enabled", said(503, "COMMAND_INVALID - unknown exchange type 'x'"), Precondition, 503},
	{"504 channel error", "", said(504, "CHANNEL_ERROR - expected 'channel.open'"), Protocol, 504},
	{"505 unexpected frame", "", said(505, "UNEXPECTED_FRAME"), Protocol, 505},
	{"506 resource error", "a limit or an alarm", said(506, "RESOURCE_ERROR"), Resource, 506},
	{"530 unknown vhost", "", said(530, "NOT_ALLOWED - vhost x not found"), VHost, 530},
	{"530 vhost refused", "the user may not enter it",
		said(530, "NOT_ALLOWED - access to vhost 'x' refused for user 'guest'"), VHost, 530},
	{"530 vhost refused, named after a limit", "a name decides nothing",
		said(530, "NOT_ALLOWED - access to vhost 'rate-limits' refused for user 'guest'"), VHost, 530},
	{"530 connection limit of a vhost", "it passes when a connection ends",
		said(530, "NOT_ALLOWED - access to vhost '/' refused for user 'guest': connection limit (1) is reached"), Resource, 530},
	{"530 connection limit of a user", "it passes when a connection ends",
		said(530, "NOT_ALLOWED - connection refused for user 'guest': user connection limit (1) is reached"), Resource, 530},
	{"530 channel limit of a user", "it passes when a channel ends",
		said(530, "NOT_ALLOWED - number of channels opened for user 'guest' has reached the maximum allowed user limit of (1)"), Resource, 530},
	{"530 channel limit of a user, 4.3", "it passes when a channel ends",
		said(530, "NOT_ALLOWED - number of channels opened for user 'guest' has reached the maximum allowed user limit of 1"), Resource, 530},
	{"530 channel limit of a node, 4.0", "it passes when a channel ends",
		said(530, "NOT_ALLOWED - number of channels opened on node 'rabbit@x' has reached the maximum allowed limit of (12)"), Resource, 530},
	{"530 channel limit of a node, 4.3", "it passes when a channel ends",
		said(530, "NOT_ALLOWED - number of channels opened on node 'rabbit@x' has reached the maximum allowed limit of 12"), Resource, 530},
	{"530 connection limit of a node", "4.0: it passes when a connection ends",
		said(530, "NOT_ALLOWED - connection refused: node connection limit (1) is reached"), Resource, 530},
	{"530 consumer limit of a channel", "it passes when a consumer ends",
		said(530, "NOT_ALLOWED - reached maximum (1) of consumers per channel"), Resource, 530},
	{"530 vhost down", "it starts later than its node",
		said(530, "NOT_ALLOWED - access to vhost 'x' refused for user 'guest': vhost 'x' is down"), BrokerShutdown, 530},
	{"530 consumer tag", "the same tag twice on one channel",
		said(530, "NOT_ALLOWED - attempt to reuse consumer tag 'x'"), Protocol, 530},
	{"540 not implemented", "", said(540, "NOT_IMPLEMENTED - prefetch_size!=0 (1)"), Protocol, 540},
	{"541 vhost down", "it starts later than its node",
		said(541, "INTERNAL_ERROR - access to vhost 'x' refused for user 'guest': vhost 'x' is down"), BrokerShutdown, 541},
	{"541 internal error", "e.g. a quorum queue without a leader", said(541, "INTERNAL_ERROR"), BrokerShutdown, 541},
	{"541 feature not permitted", "4.3: whoever runs the broker has to permit it",
		said(541, "INTERNAL_ERROR - Feature `transient_nonexcl_queues` is deprecated.\nBy default, this feature is not permitted anymore.\n"+
			"The feature will be removed from a future major RabbitMQ version, regardless of the configuration; actual version to be determined.\nTo..."), Precondition, 541},
	{"541 feature forbidden", "4.0: whoever runs the broker has forbidden it",
		said(541, "INTERNAL_ERROR - Feature `transient_nonexcl_queues` is deprecated.\nIts use is not permitted per the configuration "+
			"(overriding the default, which is permitted):\n    \"deprecated_features.permit.transient_nonexcl_queues = false\"\nIts use will not be permit..."), Precondition, 541},
	{"a code that we do not know", "", said(299, "?"), Unknown, 299},
	{"wrapped reply", "depth changes nothing", fmt.Errorf("a: %w", fmt.Errorf("b: %w", said(320, ""))), BrokerShutdown, 320},

	// What amqp091-go says without having heard it from the broker.
	{"closed", "the reason was lost, the connection was too", amqp.ErrClosed, Network, 0},
	{"credentials, made up", "the socket closed during the login; no broker refused it", amqp.ErrCredentials, Network, 0},
	{"vhost, made up", "the socket closed during connection.open", amqp.ErrVhost, Network, 0},
	{"its text of an I/O error", "the structure was lost", &amqp.Error{Code: 501, Reason: "EOF"}, Network, 0},
	{"no common mechanism", "EXTERNAL without its plugin", amqp.ErrSASL, Auth, 0},
	{"no channel left", "another may close", amqp.ErrChannelMax, Resource, 0},
	{"bad frame", "", amqp.ErrFrame, Protocol, 0},
	{"frame too large", "", amqp.ErrFrameTooLarge, Protocol, 0},
	{"bad field", "", amqp.ErrSyntax, Protocol, 0},
	{"unexpected method", "", amqp.ErrCommandInvalid, Protocol, 0},
	{"unexpected frame", "", amqp.ErrUnexpectedFrame, Protocol, 0},
	{"bad table", "", amqp.ErrFieldType, Protocol, 0},

	// The socket.
	{"EOF", "", io.EOF, Network, 0},
	{"EOF in a frame", "", io.ErrUnexpectedEOF, Network, 0},
	{"closed here", "", net.ErrClosed, Network, 0},
	{"closed pipe", "", io.ErrClosedPipe, Network, 0},
	{"reset", "", syscallError("read", syscall.ECONNRESET), Network, 0},
	{"broken pipe", "", syscallError("write", syscall.EPIPE), Network, 0},
	{"refused", "", syscallError("connect", syscall.ECONNREFUSED), Network, 0},
	{"no route", "", syscallError("connect", syscall.EHOSTUNREACH), Network, 0},
	{"dial timed out", "", syscallError("connect", syscall.ETIMEDOUT), Network, 0},
	{"no such host", "DNS heals too", &net.OpError{Op: "dial", Err: &net.DNSError{Err: "no such host", Name: "x", IsNotFound: true}}, Network, 0},
	{"deadline of the socket", "heartbeats were missed, or a write got stuck", os.ErrDeadlineExceeded, Heartbeat, 0},
	{"deadline of the socket, as net reports it", "", &net.OpError{Op: "read", Err: os.ErrDeadlineExceeded}, Heartbeat, 0},

	// What this package found out itself.
	{"silent", "no byte came", errSilent, Heartbeat, 0},
	{"an answer of a queue overdue", "the connection is alive", errOverdue, Overdue, 0},
	{"an answer of the connection overdue", "", errCallTimeout, Heartbeat, 0},
	{"an alarm", "it passes", errBlocked, Resource, 0},
	{"cancelled consumer", "basic.cancel came; from 4.3 on it may be a consumer timeout", errCancelled, Cancelled, 0},
	{"connect timeout", "", errConnectTimeout, Network, 0},
	{"context deadline", "a dial took too long", context.DeadlineExceeded, Network, 0},
	{"context cancelled", "the caller's wish is no trouble of the broker's", context.Canceled, Unknown, 0},
	{"provider failed", "a secret store may be down, whatever its error is",
		fmt.Errorf("%w: %w", errProvider, syscallError("connect", syscall.ECONNREFUSED)), Unknown, 0},
	{"anything else", "", errors.New("?"), Unknown, 0},
	{"classified before", "the first judgement stays", fmt.Errorf("x: %w", &Error{Class: VHost, Code: 530, Err: io.EOF}), VHost, 530},
}

func TestClassify(t *testing.T) {
	for _, test := range classifyTests {
		t.Run(test.name, func(t *testing.T) {
			class, code := Classify(test.err)
			if class != test.want || code != test.code {
				t.Errorf("Classify(%v) = %q, %d, want %q, %d: %s", test.err, class, code, test.want, test.code, test.why)
			}
		})
	}
}

// TestClassifyReplies has a broker say what the table only quotes: what a code closes, and the code and
// the phrase that decide, come through the protocol as they are.
func TestClassifyReplies(t *testing.T) {
	for _, test := range classifyTests {
		var reply *amqp.Error
		if !errors.As(test.err, &reply) || !reply.Server {
			continue
		}
		text, scope, closing := reply.Reason, ScopeConnection, brokertest.CloseConnection
		if slices.Contains(channelCodes, reply.Code) {
			scope, closing = ScopeChannel, brokertest.CloseChannel
		}
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				server, plan := serve(t, Subscription{Queue: "q", Declare: &QueueOptions{}, Prefetch: 1})
				s := begin(t, plan)
				subscribe(t, s, 0)
				server.Inject(brokertest.Now(), closing(uint16(reply.Code), text))
				l := <-s.Losses()
				wantError(t, l.Err, test.want, scope)
				if l.Err.Code != test.code || !strings.Contains(l.Err.Reason(), text) {
					t.Errorf("got code %d, %q", l.Err.Code, l.Err.Reason())
				}
			})
		})
	}
}

// channelCodes are the reply codes that end a channel; the others end the connection.
var channelCodes = []int{311, 312, 313, 403, 404, 405, 406}

// TestClassifyTLS judges the errors of real handshakes.
func TestClassifyTLS(t *testing.T) {
	good, foreign := newAuthority(t), newAuthority(t)
	server := func(change func(*tls.Config)) *tls.Config {
		config := &tls.Config{Certificates: []tls.Certificate{good.issue(t, "localhost", time.Hour)}}
		change(config)
		return config
	}
	unchanged := func(*tls.Config) {}
	expired := server(func(c *tls.Config) { c.Certificates = []tls.Certificate{good.issue(t, "localhost", -time.Hour)} })
	tests := []struct {
		name   string
		server *tls.Config // nil: plain text
		client *tls.Config
	}{
		{"unknown authority", server(unchanged), &tls.Config{RootCAs: foreign.pool(), ServerName: "localhost"}},
		{"wrong name", server(unchanged), &tls.Config{RootCAs: good.pool(), ServerName: "elsewhere"}},
		{"expired", expired, &tls.Config{RootCAs: good.pool(), ServerName: "localhost"}},
		{"no TLS there", nil, &tls.Config{RootCAs: good.pool(), ServerName: "localhost"}},
		{
			"client certificate demanded", server(func(c *tls.Config) { c.ClientAuth = tls.RequireAnyClientCert }),
			&tls.Config{RootCAs: good.pool(), ServerName: "localhost"},
		},
		{
			"client certificate demanded, TLS 1.2",
			server(func(c *tls.Config) { c.ClientAuth, c.MaxVersion = tls.RequireAnyClientCert, tls.VersionTLS12 }),
			&tls.Config{RootCAs: good.pool(), ServerName: "localhost"},
		},
		{
			"old version", server(func(c *tls.Config) { c.MinVersion, c.MaxVersion = tls.VersionTLS10, tls.VersionTLS11 }),
			&tls.Config{RootCAs: good.pool(), ServerName: "localhost", MinVersion: tls.VersionTLS12},
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			err := shakeHands(t, test.server, test.client)
			if class, code := Classify(fmt.Errorf("wrapped: %w", err)); class != TLS || code != 0 {
				t.Errorf("Classify(%v) = %q, %d, want %q", err, class, code, TLS)
			}
		})
	}
}

// shakeHands returns the client's error of a TLS handshake, or of the first read after it: with TLS
// 1.3 the server judges the client's certificate when the client has finished.
func shakeHands(t *testing.T, server, client *tls.Config) error {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan struct{})
	go func() {
		defer close(served)
		far, err := listener.Accept()
		if err != nil {
			return
		}
		defer far.Close()
		if server == nil {
			io.WriteString(far, "AMQP\x00\x00\x09\x01")
		} else {
			far = tls.Server(far, server)
		}
		io.Copy(io.Discard, far)
	}()
	near, err := net.Dial("tcp", listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { near.Close(); listener.Close(); <-served })
	peer := tls.Client(near, client)
	if err := peer.Handshake(); err != nil {
		return err
	}
	_, err = peer.Read(make([]byte, 1))
	return err
}

var retryable = map[Class]struct {
	want bool
	why  string
}{
	Network:         {true, "networks come back"},
	Heartbeat:       {true, "another endpoint may answer, and a frozen one thaws"},
	BrokerShutdown:  {true, "nodes restart"},
	Resource:        {true, "limits and alarms pass"},
	Auth:            {false, "the credentials stay wrong"},
	VHost:           {false, "the virtual host stays unknown"},
	NotFound:        {true, "somebody may declare it"},
	Precondition:    {false, "the descriptions go on to disagree"},
	Exclusive:       {true, "the holder may end"},
	Protocol:        {true, "a proxy may be replaced"},
	TLS:             {true, "certificates are renewed, proxies restart"},
	Cancelled:       {true, "the queue may be declared again"},
	ConsumerTimeout: {true, "the next one may be handled in time"},
	Overdue:         {true, "nodes come back, and processes are restarted"},
	Unknown:         {true, "giving up needs a reason"},
}

func TestRetryable(t *testing.T) {
	for class, row := range retryable {
		if got := class.Retryable(); got != row.want {
			t.Errorf("%s.Retryable() = %t, want %t: %s", class, got, row.want, row.why)
		}
	}
}

// TestEveryClassIsTested reads the constants from the source, so that a new one cannot be forgotten.
func TestEveryClassIsTested(t *testing.T) {
	produced := map[Class]bool{TLS: true} // by TestClassifyTLS
	for _, test := range classifyTests {
		produced[test.want] = true
	}
	classes := constants(t, "class.go", "Class")
	if len(classes) != len(retryable) {
		t.Errorf("%d classes, and %d rows in retryable", len(classes), len(retryable))
	}
	for _, text := range classes {
		class := Class(text)
		if _, ok := retryable[class]; !ok {
			t.Errorf("%s: no row in retryable", class)
		}
		if !produced[class] {
			t.Errorf("%s: no row of TestClassify expects it", class)
		}
	}
}

// constants returns the values of the string constants of a type that a file declares.
func constants(t *testing.T, file, typeName string) []string {
	parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	var values []string
	ast.Inspect(parsed, func(n ast.Node) bool {
		if spec, ok := n.(*ast.ValueSpec); ok {
			if name, ok := spec.Type.(*ast.Ident); ok && name.Name == typeName {
				value, err := strconv.Unquote(spec.Values[0].(*ast.BasicLit).Value)
				if err != nil {
					t.Fatal(err)
				}
				values = append(values, value)
			}
		}
		return true
	})
	return values
}
