package consumer

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rs/zerolog"

	"github.com/everhop/everhop/broker"
	"github.com/everhop/everhop/broker/brokertest"
	"github.com/everhop/everhop/fsm"
)

// What exists otherwise than it is declared is used, and told of once in a run. Strict refuses it.
func TestDiffers(t *testing.T) {
	for _, strict := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			server := brokertest.NewInMemoryServer(t)
			declareIn(t, server, "q", map[string]any{"x-queue-type": "quorum"})
			var log bytes.Buffer
			var notes []fsm.Event
			revived, handled := make(chan struct{}, 1), make(chan string, 10)
			c, err := New(Config{
				URLs: []string{server.URL()}, Dial: server.Dial, Logger: zerolog.New(&log),
				Observers: []func(fsm.Event){func(e fsm.Event) {
					switch {
					case e.Kind == fsm.KindNote && e.Name != NoteOutcomes:
						notes = append(notes, e)
					case e.Trigger == Revived:
						revived <- struct{}{}
					}
				}},
				Subscriptions: []Subscription{{
					Queue:   "q",
					Declare: &broker.QueueOptions{Durable: true, Strict: strict, Arguments: map[string]any{"x-queue-type": "classic"}},
					// Of this one it is declared that it is a direct one.
					Exchanges: []broker.Exchange{{Name: "amq.topic", Kind: "direct", Durable: true}},
					Handler: func(_ context.Context, d *Delivery) error {
						handled <- string(d.Body)
						return nil
					},
				}},
			})
			if err != nil {
				t.Fatal(err)
			}
			ctx, stop := context.WithCancel(t.Context())
			defer stop()
			ended := make(chan error, 1)
			go func() { ended <- c.Run(ctx) }()
			if strict {
				var gaveUp *Error
				if err := <-ended; !errors.As(err, &gaveUp) || gaveUp.Class != broker.Precondition || !strings.Contains(err.Error(), advice[broker.Precondition]) {
					t.Errorf("Run: %v", err)
				}
				return
			}
			for range 2 {
				synctest.Wait()
				if err := server.Publish("q", "x"); err != nil {
					t.Fatal(err)
				}
				<-handled
				time.Sleep(time.Minute) // losses in a row would be told of, too
				server.Inject(brokertest.Now(), brokertest.Reset())
				<-revived
			}
			stop()
			if err := <-ended; err != nil {
				t.Error(err)
			}
			if len(notes) != 2 || notes[0].Name != NoteExchangeDiffers || notes[1].Name != NoteQueueDiffers {
				t.Fatalf("notes: %+v", notes)
			}
			for i, want := range []string{"received 'direct' but current is 'topic'", "x-queue-type"} {
				why := EvidenceOf(notes[i])
				if !strings.Contains(why.Error, want) || why.Queue != "q" || why.Class != string(broker.Precondition) || why.Code != 406 {
					t.Errorf("%+v", why)
				}
			}
			if n := strings.Count(log.String(), `"level":"warn","v":1,"kind":"note"`); n != 2 {
				t.Errorf("%d warnings in\n%s", n, log.String())
			}
		})
	}
}
