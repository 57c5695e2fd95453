package consumer_test

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/everhop/everhop/consumer"
)

// What New was given has the password in a URL. A Consumer shows it by no verb, wherever it is held.
func TestAConsumerPrintsNoPassword(t *testing.T) {
	const password = "S3CRET"
	urls := []string{"amqp://user:" + password + "@localhost", "amqps://user:" + password + "@localhost"}
	c, err := consumer.New(consumer.Config{
		URLs: urls,
		Subscriptions: []consumer.Subscription{{
			Queue: "q", Handler: func(context.Context, *consumer.Delivery) error { return nil },
		}},
	})
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(urls[0], password) || len(urls) != 2 {
		t.Fatalf("the caller's URLs were changed: %s", urls)
	}
	type service struct {
		name     string
		consumer *consumer.Consumer
	}
	for holder, v := range map[string]any{
		"itself":  c,
		"a field": service{"orders", c},
		"a map":   map[string]*service{"orders": {"orders", c}},
	} {
		text, _ := json.Marshal(v)
		for verb := 'A'; verb <= 'z'; verb++ {
			for _, flags := range []string{"", "+", "#"} {
				text = fmt.Appendf(text, "%"+flags+string(verb), v)
			}
		}
		for _, form := range []string{"%s", "%x", "%X", "%d"} {
			if form := strings.Trim(fmt.Sprintf(form, []byte(password)), "[]"); strings.Contains(string(text), form) {
				t.Errorf("the password shows in %s: %s", holder, form)
			}
		}
	}
	_ = c.Stop(t.Context())
}
