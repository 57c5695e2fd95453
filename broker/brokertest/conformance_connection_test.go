package brokertest_test

import (
	"bytes"
	"errors"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/google/go-cmp/cmp"
	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/everhop/everhop/broker/internal/versions"
)

var connectionScenarios = []scenario{
	{"connection opens and closes", openAndClose},
	{"wrong password, told", wrongPasswordTold},
	{"unknown user, told", unknownUserTold},
	{"AMQPLAIN login", amqplain},
	{"unknown virtual host", unknownVirtualHost},
	{"server properties", serverProperties},
	{"capabilities", capabilities},
	{"connection.start", connectionStart},
	{"tune is offered", tuneOffer},
	{"tune is negotiated down", tuneDown},
	{"the smallest frame_max", smallestFrame},
	{"anonymous login", anonymous},
	{"a body is split for a small frame_max", smallFrames},
	{"channel_max is reached", channelMax},
	{"channel_max limits no numbers", channelNumbers},
	{"update-secret", updateSecret},
	{"heartbeats come, and a silent client is dropped", silentClient},
	{"any frame is a heartbeat, and 0 is none", anyFrameIsAHeartbeat},
	{"hang-ups", hangUp},
	{"other protocol header", otherHeader},
	{"a raw client closes", clientCloses},
}

// openAndClose does it often: a broker that hangs up before the client does makes an error of some.
func openAndClose(c *client) {
	for range 20 {
		conn := c.dial(amqp.Config{})
		ch := conn.channel()
		c.ok(conn.Close())
		for _, closes := range []<-chan *amqp.Error{ch.closes, conn.closes} {
			if err, _ := await(c, "the close", closes); err != nil {
				c.Fatalf("closed with %v", err)
			}
		}
	}
}

// login completes the client's capabilities, which amqp091-go sets just before it asks for the response.
type login struct {
	amqp.Authentication
	properties amqp.Table
}

func (l login) Response() string {
	l.properties["capabilities"].(amqp.Table)["authentication_failure_close"] = true
	return l.Authentication.Response()
}

const loginRefused = "ACCESS_REFUSED - Login was refused using authentication mechanism PLAIN. For details see the broker logfile."

func wrongPasswordTold(c *client) {
	refusedLogin(c, &amqp.PlainAuth{Username: "guest", Password: "wrong"})
}
func unknownUserTold(c *client) {
	refusedLogin(c, &amqp.PlainAuth{Username: "nobody", Password: "wrong"})
}

func refusedLogin(c *client, auth amqp.Authentication) {
	properties := amqp.NewConnectionProperties()
	_, err := amqp.DialConfig(c.server.URL(), amqp.Config{
		Properties: properties, SASL: []amqp.Authentication{login{auth, properties}},
	})
	var refused *amqp.Error
	if !errors.As(err, &refused) || refused.Code != 403 || refused.Reason != loginRefused || !refused.Server {
		c.Errorf("got %v, want %q", err, loginRefused)
	}
}

func amqplain(c *client) {
	c.dial(amqp.Config{SASL: []amqp.Authentication{&amqp.AMQPlainAuth{Username: "guest", Password: "guest"}}}).channel().sync()
}

func unknownVirtualHost(c *client) {
	_, err := amqp.DialConfig(c.server.URL(), amqp.Config{Vhost: "nowhere"})
	const want = "NOT_ALLOWED - vhost nowhere not found"
	var refused *amqp.Error
	if !errors.As(err, &refused) || refused.Code != 530 || refused.Reason != want {
		c.Errorf("got %v, want %q", err, want)
	}
}

func serverProperties(c *client) {
	got := c.dial(amqp.Config{}).Properties
	want := "RabbitMQ"
	if c.differs(namesItself) {
		want = "Everhop brokertest"
	}
	if got["product"] != want {
		c.Errorf("product %q, want %q", got["product"], want)
	}
	for _, name := range []string{"version", "platform", "information"} {
		if text, _ := got[name].(string); text == "" {
			c.Errorf("no %s: %v", name, got[name])
		}
	}
}

func capabilities(c *client) {
	got := slices.Sorted(maps.Keys(c.dial(amqp.Config{}).Properties["capabilities"].(amqp.Table)))
	want := []string{
		"authentication_failure_close", "basic.nack", "connection.blocked", "consumer_cancel_notify", "consumer_priorities",
		"direct_reply_to", "exchange_exchange_bindings", "per_consumer_qos", "publisher_confirms",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		c.Errorf("capabilities (-want +got):\n%s", diff)
	}
}

func connectionStart(c *client) {
	f := c.wire().start()
	if !bytes.HasPrefix(f.payload[4:], []byte{0, 9}) {
		c.Errorf("version %v, want 0-9", f.payload[4:6])
	}
	mechanisms := []string{"AMQPLAIN", "PLAIN"}
	if c.has(versions.Anonymous) {
		mechanisms = []string{"AMQPLAIN", "ANONYMOUS", "PLAIN"}
	}
	rest, ok := bytes.CutSuffix(f.payload, encode(long("en_US")))
	length := len(strings.Join(mechanisms, " "))
	got := strings.Fields(string(rest[max(0, len(rest)-length):]))
	slices.Sort(got)
	if !ok || !slices.Equal(got, mechanisms) || !bytes.HasSuffix(rest[:len(rest)-length], encode(uint32(length))) {
		c.Errorf("got %q, want mechanisms %q and the locale en_US at its end", f.payload, mechanisms)
	}
}

func tuneOffer(c *client) {
	f := c.wire().tune()
	if want := encode(uint16(2047), uint32(131072), uint16(60)); !bytes.Equal(f.payload[4:], want) {
		c.Errorf("offered %v, want %v", f.payload[4:], want)
	}
}

func tuneDown(c *client) {
	conn := c.dial(amqp.Config{ChannelMax: 7, FrameSize: 8192, Heartbeat: 5 * time.Second})
	if got := conn.Config; got.ChannelMax != 7 || got.FrameSize != 8192 || got.Heartbeat != 5*time.Second {
		c.Errorf("channel_max %d, frame_max %d, heartbeat %v", got.ChannelMax, got.FrameSize, got.Heartbeat)
	}
	conn.channel().sync()
}

func smallestFrame(c *client) {
	smallest := uint32(4096)
	if c.has(versions.LargeFrames) {
		smallest = 8192
		w := c.wire()
		w.tune()
		w.tuneOK(2047, smallest-1, 60)
		w.wantHangUp()
	}
	c.wire().open(2047, smallest, 0)
}

func anonymous(c *client) {
	w := c.wire()
	w.start()
	w.startOK("ANONYMOUS", "")
	if !c.has(versions.Anonymous) {
		w.wantHangUp()
		return
	}
	w.want(10, 30)
}

func smallFrames(c *client) {
	body := bytes.Repeat([]byte("0123456789"), 1000)
	ch := c.dial(amqp.Config{FrameSize: 8192}).channel() // which refuses longer frames
	ch.queue()
	ch.send("", c.name, amqp.Publishing{Body: body})
	if got := ch.get(c.name).Body; !bytes.Equal(got, body) {
		c.Errorf("got %d octets", len(got))
	}
}

func channelMax(c *client) {
	w := c.wire()
	w.open(2, 131072, 0)
	w.openChannel(1)
	w.openChannel(2)
	w.method(3, 20, 10, "")
	w.wantClose(530, "NOT_ALLOWED - number of channels opened (2) has reached the negotiated channel_max (2)", [2]uint16{})
}

func channelNumbers(c *client) {
	w := c.wire()
	w.open(2, 131072, 0)
	w.openChannel(65535)
	w.openChannel(3)
}

func updateSecret(c *client) {
	conn := c.dial(amqp.Config{})
	c.ok(conn.UpdateSecret("guest", "rotation"))
	conn.channel().sync()
}

// silentClient sends nothing after it asked for a heartbeat of 1 s.
func silentClient(c *client) {
	w := c.wire()
	begin, heartbeats := time.Now(), 0
	w.open(2047, 131072, 1)
	for {
		f, err := w.next()
		if err != nil {
			break
		}
		if f.kind != frameHeartbeat || f.channel != 0 || len(f.payload) != 0 {
			c.Fatalf("got %v, want a heartbeat", f)
		}
		heartbeats++
	}
	took := time.Since(begin)
	c.Logf("dropped after %v and %d heartbeats", took.Round(time.Millisecond), heartbeats)
	if took < 1500*time.Millisecond || took > moment { // 1.5 to 6 intervals, where nothing else is at work
		c.Errorf("dropped after %v, want 1.5 intervals or more", took)
	}
	if heartbeats < 1 {
		c.Error("got no heartbeat")
	}
}

// anyFrameIsAHeartbeat sends acks of nothing, while another connection without heartbeats is silent.
func anyFrameIsAHeartbeat(c *client) {
	silent, w := c.wire(), c.wire()
	silent.open(2047, 131072, 0)
	w.open(2047, 131072, 3)
	w.openChannel(1)
	for range 9 { // RabbitMQ sends two in an interval, and would have dropped a silent client after six
		if f, err := w.next(); err != nil || f.kind != frameHeartbeat {
			c.Fatalf("got %v: %v", f, err)
		}
		w.method(1, 60, 80, uint64(0), byte(1))
	}
	silent.openChannel(1) // it has got no heartbeat
}

func otherHeader(c *client) {
	offer := protocolHeader
	if c.has(versions.AMQP1) {
		offer = "AMQP\x03\x01\x00\x00"
	}
	for header, want := range map[string]string{
		"AMQP\x00\x00\x09\x00": protocolHeader, "AMQP\x00\x01\x00\x00": offer, "AMQP\x03\x01\x00\x00": offer, "GET / HT": offer,
	} {
		if header == want && !c.differs(lacksAMQP1) {
			continue // it is understood
		}
		w := c.wire()
		w.send([]byte(header))
		answer := make([]byte, len(protocolHeader))
		w.SetReadDeadline(time.Now().Add(moment))
		if _, err := w.reader.Read(answer); err != nil || string(answer) != want {
			c.Errorf("the answer to %q is %q: %v", header, answer, err)
		}
		w.wantHangUp()
	}
}

func clientCloses(c *client) {
	w := c.wire()
	w.open(2047, 131072, 0)
	w.openChannel(1)
	w.method(0, 10, 50, uint16(200), "bye", uint16(0), uint16(0))
	w.want(10, 51)
}
