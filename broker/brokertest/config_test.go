package brokertest

import (
	"strings"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

func TestConfigFields(t *testing.T) {
	s := NewServer(t, Config{
		Addr: "127.0.0.1:0", Users: map[string]string{"ada": "secret"}, VirtualHosts: []string{"orders", "/"},
		Heartbeat: 7 * time.Second, ChannelMax: 5, FrameMax: 16384, MaxMessageSize: 10, Product: "RabbitMQ", Version: "3.10",
	})
	conn, err := amqp.Dial(s.URL())
	ok(t, err)
	defer conn.Close()
	if got := conn.Config; got.ChannelMax != 5 || got.FrameSize != 16384 || got.Heartbeat != 7*time.Second || got.Vhost != "orders" {
		t.Errorf("got %+v", got)
	}
	if got := conn.Properties; got["product"] != "RabbitMQ" || got["version"] != "3.10.0" {
		t.Errorf("got %v", got)
	}
}

func TestConfigRefused(t *testing.T) {
	for want, config := range map[string]Config{
		"FrameMax":           {FrameMax: 8191},
		"Heartbeat":          {Heartbeat: time.Millisecond},
		"ClientCertificates": {ClientCertificates: true},
		"configure":          {Permissions: map[string]map[string]Permissions{"guest": {"/": {Configure: "("}}}},
		"listen":             {Addr: "nowhere.invalid:0"},
	} {
		s, err := Start(config)
		if err == nil {
			s.Close()
		}
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: %v, want %q", config, err, want)
		}
	}
}

// Users that a Config gives permissions have no others, and the rest have all.
func TestConfigPermissions(t *testing.T) {
	s := NewServer(t, Config{
		Users:       map[string]string{"ada": "a", "bob": "b"},
		Permissions: map[string]map[string]Permissions{"ada": {"/": {Read: "^q$"}}},
	})
	ok(t, s.DeclareQueue("q", nil))
	ok(t, s.DeclareQueue("other", nil))
	get := func(user, password, queue string) error {
		conn, err := amqp.DialConfig(s.URL(), amqp.Config{SASL: []amqp.Authentication{&amqp.PlainAuth{Username: user, Password: password}}})
		ok(t, err)
		defer conn.Close()
		_, _, err = openChannel(t, conn).Get(queue, true)
		return err
	}
	ok(t, get("ada", "a", "q"))
	if err := get("ada", "a", "other"); err == nil {
		t.Error("ada may read what nobody has allowed her")
	}
	ok(t, get("bob", "b", "other"))
	ok(t, s.SetPermissions("bob", "/", Permissions{}))
	if err := get("bob", "b", "other"); err == nil {
		t.Error("bob may still read")
	}
	ok(t, s.SetPermissions("ada", "/", Permissions{Read: ".*"}))
	ok(t, get("ada", "a", "other"))
	if err := s.SetPermissions("ada", "/", Permissions{Write: "["}); err == nil {
		t.Error("that is no regular expression")
	}
}

func TestIn(t *testing.T) {
	onBoth(t, func(t *testing.T, s *Server) {
		if err := s.In("later").DeclareQueue("q", nil); err == nil || !strings.Contains(err.Error(), "later") {
			t.Errorf("got %v", err)
		}
		s.AddVirtualHost("later")
		later := s.In("later")
		ok(t, later.DeclareQueue("q", nil))
		ok(t, s.DeclareQueue("q", nil))
		ok(t, later.Publish("q", "1"))
		if here, _ := s.Queue("q"); here.Ready != 0 {
			t.Errorf("the first virtual host's has %d messages", here.Ready)
		}
		if there, known := later.Queue("q"); !known || there.Ready != 1 || len(later.Messages("q")) != 1 {
			t.Errorf("got %+v", there)
		}
		s.Inject(Now().In("later"), DeleteQueue("q"))
		if _, known := later.Queue("q"); known {
			t.Error("not deleted")
		}
		if _, known := s.Queue("q"); !known {
			t.Error("deleted the wrong one")
		}
		s.DeleteVirtualHost("later")
		if err := later.Publish("q", "1"); err == nil {
			t.Error("it is gone")
		}
		later.DeleteQueue("q") // does nothing
	})
}
