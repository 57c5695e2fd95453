package doctor

import (
	"context"
	"crypto/tls"
	"errors"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/everhop/everhop/broker"
	"github.com/everhop/everhop/broker/brokertest"
	"github.com/everhop/everhop/broker/rabbittest"
)

// fault is one that is prepared, and what is to be said of it.
type fault struct {
	name    string
	prepare func(*bed)
	check   string
	status  Status
	text    string
	advice  string
	also    []string // checks that the fault makes complain, too
	version string   // of the broker, 4.3 if empty
}

var year = 365 * 24 * time.Hour

var faults = []fault{
	{name: "name", check: "name", status: Broken, text: `"nosuch.invalid"`, advice: "DNS",
		prepare: func(b *bed) { b.url = "amqp://nosuch.invalid/" }},
	{name: "dead port", check: "port", status: Broken, text: "connection refused", advice: "start the broker",
		prepare: func(b *bed) { b.url = "amqp://" + rabbittest.DeadPort(b.T) }},
	{name: "silent port", check: "protocol", status: Broken, text: "no AMQP comes from it", advice: "a broker that hangs",
		prepare: func(b *bed) { b.config.Step, b.url = short, "amqp://"+listening(b.T, silent) }},
	{name: "silent TLS port", check: "protocol", status: Broken, text: "handshake does not end", advice: "5671",
		prepare: func(b *bed) { b.config.Step, b.url = short, "amqps://"+listening(b.T, silent) }},
	{name: "TLS to a plain port", check: "protocol", status: Broken, text: "AMQP without TLS is spoken", advice: broker.HintPlainPort,
		prepare: func(b *bed) { b.url = "amqps://" + b.server.Addr() }},
	{name: "plain to a TLS port", check: "protocol", status: Broken, text: "TLS is spoken there", advice: broker.HintTLSPort,
		prepare: func(b *bed) {
			now := time.Now()
			b.url = "amqp://" + wrapped(b.T, b.server.Addr(), newAuthority(b.T).issue(b.T, "127.0.0.1", now.Add(-year), now.Add(year)))
		}},
	{name: "HTTP port", check: "protocol", status: Broken, text: "HTTP", advice: "15672",
		prepare: func(b *bed) { b.config.Step, b.url = short, "amqp://"+strings.TrimPrefix(web(b.T, nil).URL, "http://") }},
	{name: "HTTP port with TLS", check: "protocol", status: Broken, text: "HTTP", advice: "15672",
		prepare: func(b *bed) {
			b.config.Step, b.url = short, "amqps://"+strings.TrimPrefix(web(b.T, nil).URL, "http://")
		}},
	{name: "another program", check: "protocol", status: Broken, text: "something else", advice: "5672",
		prepare: func(b *bed) { b.url = "amqp://" + listening(b.T, banner) }},
	{name: "expired certificate", check: "certificate", status: Broken, text: "has expired", advice: "renew",
		prepare: certified("127.0.0.1", -2*year, -time.Hour)},
	{name: "early certificate", check: "certificate", status: Broken, text: "not valid before", advice: "clock",
		prepare: certified("127.0.0.1", time.Hour, year)},
	{name: "certificate of another host", check: "certificate", status: Broken, text: "not for 127.0.0.1", advice: "server_name_indication",
		prepare: certified("other.example", -year, year)},
	{name: "certificate that ends soon", check: "certificate", status: Warning, text: "expires on", advice: "renew",
		prepare: certified("127.0.0.1", -year, 48*time.Hour)},
	{name: "unknown authority", check: "certificate", status: Broken, text: "nobody who is trusted", advice: "cacertfile",
		prepare: func(b *bed) {
			certified("127.0.0.1", -year, year)(b)
			b.url = b.url[:strings.Index(b.url, "?")] + "?cacertfile=" + newAuthority(b.T).file
		}},
	{name: "old TLS", check: "protocol", status: Broken, text: "no TLS 1.2", advice: "ssl_options.versions",
		prepare: func(b *bed) {
			a, now := newAuthority(b.T), time.Now()
			config := a.issue(b.T, "127.0.0.1", now.Add(-year), now.Add(year))
			config.MinVersion, config.MaxVersion = tls.VersionTLS10, tls.VersionTLS11
			b.url = a.secured(b.T, b.server.URL(), config)
		}},
	{name: "client certificate wanted", check: "login", status: Broken, text: "certificate", advice: "certfile",
		prepare: func(b *bed) {
			a, now := newAuthority(b.T), time.Now()
			config := a.issue(b.T, "127.0.0.1", now.Add(-year), now.Add(year))
			config.ClientAuth = tls.RequireAnyClientCert
			b.url = a.secured(b.T, b.server.URL(), config)
		}},
	{name: "missing authority's file", check: "protocol", status: Broken, text: "no such file", advice: "cacertfile",
		prepare: func(b *bed) { b.url = "amqps://" + b.server.Addr() + "/?cacertfile=/nosuch/ca.pem" }},
	{name: "password", check: "login", status: Broken, text: "403 ACCESS_REFUSED", advice: "password",
		prepare: func(b *bed) { b.server.SetPassword("guest", "other") }},
	{name: "broker that hangs", check: "login", status: Broken, text: "", advice: "hangs",
		prepare: func(b *bed) {
			b.config.Step = short
			b.server.Inject(brokertest.OnMethod("channel.open", 1), brokertest.Freeze(brokertest.Both))
		}},
	{name: "vhost", check: "vhost", status: Broken, text: "not found", advice: "add_vhost",
		prepare: func(b *bed) { b.url = strings.TrimSuffix(b.url, "/") + "/nosuch" }},
	{name: "missing queue", check: "queue", status: Broken, text: "no such queue", advice: "--declare",
		prepare: func(b *bed) { b.server.DeleteQueue(queue) }},
	{name: "exclusive queue", check: "queue", status: Broken, text: "405 RESOURCE_LOCKED", advice: "end that consumer",
		prepare: func(b *bed) { b.redeclare(broker.QueueOptions{Exclusive: true}) }},
	{name: "queue that does not answer", check: "queue", status: Broken, text: "does not answer", advice: "quorum_status",
		also: []string{"permissions"}, prepare: func(b *bed) { b.config.Step = short; b.server.SuspendQueue(queue) }},
	{name: "alarm", check: "alarms", status: Broken, text: "low on memory", advice: "vm_memory_high_watermark",
		prepare: func(b *bed) { b.server.Alarm("low on memory") }},
	{name: "disk alarm", check: "alarms", status: Broken, text: "low on disk", advice: "disk_free_limit",
		prepare: func(b *bed) { b.server.Alarm("low on disk") }},
	{name: "default delivery limit without DLX", check: "delivery_limit", status: Warning, text: "more than 20 times (by default)", advice: "dead-letter-exchange",
		prepare: func(b *bed) { b.redeclare(durable("x-queue-type", "quorum")) }},
	{name: "delivery limit without DLX", check: "delivery_limit", status: Warning, text: "more than 7 times (as it was declared)", advice: "dead-letter-exchange",
		version: "3.10", prepare: func(b *bed) { b.redeclare(durable("x-queue-type", "quorum", "x-delivery-limit", 7)) }},
	{name: "nobody consumes", check: "consumers", status: Warning, text: "1 messages wait", advice: "start a consumer",
		prepare: func(b *bed) { must(b.T, b.server.Publish(queue, "x")) }},
	{name: "single active consumer", check: "consumers", status: Warning, text: "one of 1 gets all", advice: "x-single-active-consumer",
		prepare: func(b *bed) { b.redeclare(durable("x-single-active-consumer", true)); b.consume() }},
	{name: "overflow", check: "overflow", status: Warning, text: "beyond 10 messages", advice: "reject-publish",
		prepare: func(b *bed) { b.redeclare(durable("x-max-length", 10)) }},
	{name: "TTL without DLX", check: "ttl", status: Warning, text: "after 60000ms", advice: "dead-letter exchange",
		prepare: func(b *bed) { b.redeclare(durable("x-message-ttl", 60000)) }},
	{name: "transient queue", check: "durability", status: Warning, text: "transient", advice: "durable",
		version: "3.10", prepare: func(b *bed) { b.redeclare(broker.QueueOptions{}) }},
	{name: "prefetch against consumer_timeout", check: "timeout", status: Warning, text: "after 1h4m0s", advice: "lower --prefetch to 15",
		version: "4.0", prepare: func(b *bed) { b.config.Prefetch, b.config.HandlingTime = 64, time.Minute }},
	{name: "late heartbeat", check: "heartbeat", status: Warning, text: "10m0s", advice: "heartbeat",
		prepare: func(b *bed) { b.heartbeat(10 * time.Minute) }},
	{name: "few channels", check: "limits", status: Warning, text: "4 channels", advice: "channel_max",
		prepare: func(b *bed) { b.url += "?channel_max=4" }},
	{name: "journal in a file", check: "journal", status: Broken, text: "it is a file", advice: "another place",
		prepare: func(b *bed) { b.config.Journal = b.file("x") }},
	{name: "journal nowhere", check: "journal", status: Broken, text: "cannot be made", advice: "make it",
		prepare: func(b *bed) { b.config.Journal = "/nosuch/below/journal" }},
	{name: "damaged journal", check: "journal", status: Broken, text: "damaged", advice: "everhop verify",
		prepare: func(b *bed) { b.damage(func(text string) string { return "{" + text[3:] }) }},
	{name: "torn journal", check: "journal", status: Warning, text: "torn", advice: "--repair",
		prepare: func(b *bed) { b.damage(func(text string) string { return text[:len(text)-9] }) }},
	{name: "locked journal", check: "journal", status: Warning, text: "another process writes it", advice: "one writer",
		prepare: func(b *bed) {
			j := b.newJournal()
			b.Cleanup(func() { must(b.T, j.Close()) })
		}},
	{name: "missing command", check: "command", status: Broken, text: "nosuch-program", advice: "PATH",
		prepare: func(b *bed) {
			b.config.Command = "nosuch-program"
			b.config.CheckCommand = func(string) error { return errors.New("--exec: nosuch-program: not found in PATH") }
		}},
	{name: "missing interpreter", check: "command", status: Broken, text: "interpreter /nosuch/python", advice: "interpreter",
		prepare: func(b *bed) { b.config.Command = b.file("#!/nosuch/python\n") }},
	{name: "interpreter not in PATH", check: "command", status: Broken, text: "nosuch-python is not in PATH", advice: "interpreter",
		prepare: func(b *bed) { b.config.Command = b.file("#!/usr/bin/env nosuch-python\n") }},
	{name: "script from Windows", check: "command", status: Broken, text: "CR LF", advice: "first line",
		prepare: func(b *bed) { b.config.Command = b.file("#!/bin/sh\r\n") }},
	{name: "few files", check: "file_limits", status: Warning, text: "64 open files", advice: "LimitNOFILE",
		prepare: func(b *bed) { b.config.fileLimit = func() (uint64, error) { return 64, nil } }},
	{name: "no management", check: "management", status: Broken, text: "connection refused", advice: "rabbitmq-plugins enable",
		prepare: func(b *bed) { b.config.Management = "http://" + rabbittest.DeadPort(b.T) }},
	{name: "management that is none", check: "management", status: Broken, text: "404", advice: "15672",
		prepare: func(b *bed) { b.config.Management = web(b.T, http.NotFoundHandler()).URL }},
	{name: "management's login", check: "management", status: Broken, text: "401", advice: "set_user_tags",
		prepare: managed(map[string]string{"overview": "401"})},
	{name: "node that is down", check: "cluster", status: Broken, text: "down", advice: "forget_cluster_node rabbit@b",
		prepare: managed(map[string]string{"nodes": `[{"name":"rabbit@b","running":false}]`})},
	{name: "node with an alarm", check: "cluster", status: Broken, text: "memory alarm", advice: "vm_memory_high_watermark",
		prepare: managed(map[string]string{"nodes": `[{"name":"rabbit@b","running":true,"mem_alarm":true}]`})},
	{name: "partition", check: "cluster", status: Broken, text: "does not see rabbit@c", advice: "cluster_partition_handling",
		prepare: managed(map[string]string{"nodes": `[{"name":"rabbit@b","running":true,"partitions":["rabbit@c"]}]`})},
	{name: "user's limit", check: "user_limits", status: Warning, text: "max-connections 1", advice: "set_user_limits",
		prepare: managed(map[string]string{"user-limits/guest": `[{"user":"guest","value":{"max-connections":1}}]`})},
	{name: "member that is down", check: "leader", status: Warning, text: "rabbit@a leads", advice: "majority",
		prepare: managed(map[string]string{"queues/%2F/orders": `{"type":"classic","durable":true,"leader":"rabbit@a","state":"running","members":["rabbit@a","rabbit@b"],"online":["rabbit@a"]}`})},
	{name: "policy's limit without DLX", check: "overflow", status: Warning, text: "beyond 5 messages (by its policy)", advice: "reject-publish",
		prepare: managed(map[string]string{"queues/%2F/orders": `{"type":"classic","durable":true,"node":"rabbit@a","state":"running","policy":"p","effective_policy_definition":{"max-length":5}}`})},
	{name: "clock", check: "clock", status: Warning, text: "behind the broker's", advice: "NTP",
		prepare: func(b *bed) {
			b.config.Management = web(b.T, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Date", time.Now().Add(time.Minute).UTC().Format(http.TimeFormat))
				plugged(nil).ServeHTTP(w, r)
			})).URL
		}},
}

// Each fault is told by its own line, with the right advice, and nothing else complains.
func TestFaults(t *testing.T) {
	for _, f := range faults {
		t.Run(f.name, func(t *testing.T) {
			t.Parallel()
			b := newBed(t, f.version)
			f.prepare(b)
			report := b.examine()
			found := false
			for _, g := range report.Findings {
				switch {
				case g.Status == OK || g.Status == Skipped || slices.Contains(f.also, g.Check):
				case g.Check == f.check && g.Status == f.status && strings.Contains(g.Text, f.text) && strings.Contains(g.Advice, f.advice):
					found = true
				default:
					t.Errorf("another complaint: %+v", g)
				}
			}
			if !found {
				t.Errorf("not told: %s %s %q %q", f.check, f.status, f.text, f.advice)
			}
			if t.Failed() {
				for _, g := range report.Findings {
					t.Log(strings.TrimSpace(string(g.Line(false))))
				}
			}
		})
	}
}

// There is nothing to say of a healthy broker, whichever version it is, nor is anything left there.
func TestHealthy(t *testing.T) {
	for _, version := range []string{"3.10", "4.0", "4.3"} {
		t.Run(version, func(t *testing.T) {
			b := newBed(t, version)
			managed(nil)(b)
			certified("127.0.0.1", -year, year)(b)
			b.config.Journal, b.config.Command = t.TempDir(), "cat"
			b.config.Prefetch, b.config.HandlingTime = 64, time.Second
			must(t, b.server.DeclareQueue("orders.parked", nil))
			before := b.server.Queues()
			report := b.examine()
			for _, f := range report.Findings {
				if f.Status != OK {
					t.Errorf("%+v", f)
				}
			}
			if report.Worst() != OK || len(report.Findings) < 20 {
				t.Errorf("%s, %d findings", report.Worst(), len(report.Findings))
			}
			must(t, b.server.Await(t.Context(), func() bool { return len(b.server.Connections()) == 0 }))
			if after := b.server.Queues(); !reflect.DeepEqual(before, after) {
				t.Errorf("before %+v, after %+v", before, after)
			}
			for _, method := range []string{"exchange.declare", "queue.bind", "queue.delete", "queue.purge", "basic.get", "basic.reject", "basic.nack"} {
				if n := b.server.Count(method); n > 0 {
					t.Errorf("%d times %s", n, method)
				}
			}
		})
	}
}

// Whatever is silent, all of it ends with its context, and says what was not looked at.
func TestEndsInTime(t *testing.T) {
	const most = 2 * time.Second
	frozen := brokertest.NewServer(t)
	frozen.Inject(brokertest.OnMethod("queue.declare", 1), brokertest.Freeze(brokertest.Both))
	hole := listening(t, silent)
	for name, urls := range map[string][]string{
		"black holes": {"amqp://" + hole, "amqps://" + hole, "amqp://" + hole + "/x", "amqp://" + hole + "/y"},
		"frozen":      {frozen.URL()},
	} {
		t.Run(name, func(t *testing.T) {
			endpoints, err := broker.ParseEndpoints(urls...)
			must(t, err)
			ctx, cancel := context.WithTimeout(t.Context(), most)
			defer cancel()
			begin := time.Now()
			report := Run(ctx, Config{Endpoints: endpoints, Queue: queue, Management: "http://" + hole, Step: time.Minute})
			if took := time.Since(begin); took > 15*time.Second {
				t.Errorf("took %v", took)
			}
			if report.Worst() != Broken {
				t.Errorf("%+v", report.Findings)
			}
		})
	}
}
