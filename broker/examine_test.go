package broker_test

import (
	"errors"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/everhop/everhop/broker"
	"github.com/everhop/everhop/broker/brokertest"
	"github.com/everhop/everhop/broker/rabbittest"
)

func examiner(t *testing.T, url string) *broker.Session {
	t.Helper()
	endpoint, err := broker.ParseEndpoint(url)
	if err != nil {
		t.Fatal(err)
	}
	s, err := broker.Open(t.Context(), broker.Plan{Endpoints: []broker.Endpoint{endpoint}}, 1, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Abort)
	return s
}

// What the broker refuses tells how a queue was declared.
func TestExamineQueue(t *testing.T) {
	long := map[string]any{
		"x-queue-type": "quorum", "x-dead-letter-exchange": "it's 'dead'", "x-dead-letter-routing-key": "k", "x-delivery-limit": int64(5),
		"x-single-active-consumer": true, "x-max-length": int64(70), "x-overflow": "reject-publish",
	}
	tests := []struct {
		name    string
		options broker.QueueOptions
		want    map[string]any
	}{
		{"classic", broker.QueueOptions{Durable: true}, map[string]any{"x-queue-type": "classic"}},
		{"auto-delete", broker.QueueOptions{Durable: true, AutoDelete: true, Arguments: map[string]any{"x-expires": int64(600000)}},
			map[string]any{"x-queue-type": "classic", "x-expires": int64(600000)}},
		{"quorum", broker.QueueOptions{Durable: true, Arguments: map[string]any{"x-queue-type": "quorum"}}, map[string]any{"x-queue-type": "quorum"}},
		{"all", broker.QueueOptions{Durable: true, Arguments: long}, long},
	}
	onBoth(t, func(t *testing.T, s *broker.Session) {
		for _, tt := range tests {
			name := "examined." + tt.name
			if err := s.DeclareQueue(t.Context(), name, tt.options); err != nil {
				t.Fatal(err)
			}
			facts, err := s.ExamineQueue(t.Context(), name)
			if err != nil || facts.Unknown != nil {
				t.Fatal(tt.name, err, facts.Unknown)
			}
			if diff := cmp.Diff(broker.QueueFacts{Durable: true, AutoDelete: tt.options.AutoDelete, Arguments: tt.want}, facts); diff != "" {
				t.Errorf("%s: %s", tt.name, diff)
			}
			if kind, err := s.QueueType(t.Context(), name); err != nil || kind != tt.want["x-queue-type"] {
				t.Errorf("%s: it is of type %q, %v", tt.name, kind, err)
			}
		}
	})
}

// To ask for what is missing does not create it.
func TestExaminingCreatesNothing(t *testing.T) {
	onBoth(t, func(t *testing.T, s *broker.Session) {
		const name = "examined.missing"
		missing := func(after string) {
			t.Helper()
			_, err := s.ExamineQueue(t.Context(), name)
			if class, _ := broker.Classify(err); class != broker.NotFound {
				t.Errorf("after %s: %v", after, err)
			}
		}
		missing("nothing")
		for i, argument := range broker.RefusedArguments() {
			if err := s.LearnOf(t.Context(), name, i); err == nil {
				t.Errorf("%s: not refused", argument)
			}
			missing(argument)
		}
		for _, ask := range []error{s.MayConfigure(t.Context(), name), s.MayRead(t.Context(), name)} {
			if ask != nil {
				t.Error(ask)
			}
		}
		missing("permissions")
		if kind, err := s.QueueType(t.Context(), name); err == nil {
			t.Errorf("it is of type %s", kind)
		}
		missing("its type")
	})
}

func TestPermissionsAreAskedFor(t *testing.T) {
	node := rabbittest.Shared(t)
	rabbittest.NeedsControl(t)
	const user = "examiner"
	if err := errors.Join(
		node.Call(t.Context(), "rabbit_auth_backend_internal:add_user", user, "p", "test"),
		node.Call(t.Context(), "rabbit_auth_backend_internal:set_permissions", user, "/", "^conf$", "^$", "^read$", "test"),
	); err != nil {
		t.Fatal(err)
	}
	defer node.Call(t.Context(), "rabbit_auth_backend_internal:delete_user", user, "test")
	s := examiner(t, fmt.Sprintf("amqp://%s:p@%s/", user, node.Addr()))
	for _, tt := range []struct {
		queue           string
		configure, read broker.Class
	}{{"conf", "", broker.Auth}, {"read", broker.Auth, ""}, {"other", broker.Auth, broker.Auth}} {
		configure, _ := broker.Classify(s.MayConfigure(t.Context(), tt.queue))
		read, _ := broker.Classify(s.MayRead(t.Context(), tt.queue))
		if configure != tt.configure || read != tt.read {
			t.Errorf("%s: configure %q, read %q", tt.queue, configure, read)
		}
	}
}

func TestPeer(t *testing.T) {
	onBoth(t, func(t *testing.T, s *broker.Session) {
		p := s.Peer()
		if p.Version == "" || p.Heartbeat != broker.DefaultHeartbeat || p.FrameMax < 8192 || p.ChannelMax < 100 {
			t.Errorf("got %+v", p)
		}
	})
}

// onBoth plays on a broker in this process, and on a real one if there is any.
func onBoth(t *testing.T, play func(*testing.T, *broker.Session)) {
	t.Run("brokertest", func(t *testing.T) { play(t, examiner(t, brokertest.NewServer(t).URL())) })
	t.Run("RabbitMQ", func(t *testing.T) { play(t, examiner(t, rabbittest.Shared(t).URL())) })
}
