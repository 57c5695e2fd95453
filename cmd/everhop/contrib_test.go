package main

import (
	"bytes"
	"context"
	"encoding/json"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"
	"go.yaml.in/yaml/v3"

	"github.com/everhop/everhop/consumer"
	"github.com/everhop/everhop/consumer/health"
)

// What is in contrib fits the program: its commands, their flags, its paths and its times.

const contrib = "contrib/"

// stopSlack is what a stop may take beyond the grace period, as consumer.ReasonStopHang has it.
const stopSlack = 15 * time.Second

// parsed finds a command by its words, and parses the flags of a copy of it.
func parsed(t *testing.T, words ...string) *cobra.Command {
	t.Helper()
	cmd, rest, err := newRoot(nil, nil, nil).Find(words)
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.ParseFlags(rest); err != nil {
		t.Fatalf("%q: %v", words, err)
	}
	return cmd
}

func duration(t *testing.T, text string) time.Duration {
	t.Helper()
	d, err := time.ParseDuration(text)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func read(t *testing.T, file string) string {
	t.Helper()
	text, err := os.ReadFile(contrib + file)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestContribKubernetes(t *testing.T) {
	type probe struct {
		HTTPGet struct{ Path, Port string } `yaml:"httpGet"`
	}
	var deployment struct {
		Spec struct {
			Template struct {
				Spec struct {
					Grace      int `yaml:"terminationGracePeriodSeconds"`
					Containers []struct {
						Args  []string
						Ports []struct {
							Name string
							Port int `yaml:"containerPort"`
						}
						Startup   probe `yaml:"startupProbe"`
						Liveness  probe `yaml:"livenessProbe"`
						Readiness probe `yaml:"readinessProbe"`
						Lifecycle struct {
							PreStop struct{ Sleep struct{ Seconds int } } `yaml:"preStop"`
						}
					}
				}
			}
		}
	}
	if err := yaml.Unmarshal([]byte(read(t, "kubernetes/deployment.yaml")), &deployment); err != nil {
		t.Fatal(err)
	}
	pod := deployment.Spec.Template.Spec
	container := pod.Containers[0]
	flags := parsed(t, container.Args...).Flags()
	host, port, err := net.SplitHostPort(flags.Lookup("listen").Value.String())
	if ip := net.ParseIP(host); err != nil || ip == nil || ip.IsLoopback() || port != strconv.Itoa(container.Ports[0].Port) {
		t.Errorf("it listens on %s:%s, and the kubelet asks port %d: %v", host, port, container.Ports[0].Port, err)
	}
	c, err := consumer.New(consumer.Config{URLs: []string{"amqp://h"}, Subscriptions: []consumer.Subscription{{
		Queue: "orders", Handler: func(context.Context, *consumer.Delivery) error { return nil },
	}}})
	if err != nil {
		t.Fatal(err)
	}
	for want, p := range map[string]probe{"/livez": container.Liveness, "/readyz": container.Readiness} {
		answer := httptest.NewRecorder()
		health.New(c, health.NewEvents(), health.Options{}).ServeHTTP(answer, httptest.NewRequest(http.MethodGet, p.HTTPGet.Path, nil))
		if p.HTTPGet.Path != want || p.HTTPGet.Port != container.Ports[0].Name || answer.Code == http.StatusNotFound {
			t.Errorf("a probe asks for %+v, want %s; %d", p.HTTPGet, want, answer.Code)
		}
	}
	if container.Startup != container.Liveness {
		t.Errorf("the startup probe asks for %+v", container.Startup)
	}
	grace := duration(t, flags.Lookup("grace").Value.String())
	if grace != consumer.DefaultGracePeriod {
		t.Errorf("--grace %v, and the default is %v", grace, consumer.DefaultGracePeriod)
	}
	ends := time.Duration(pod.Grace) * time.Second
	if least := time.Duration(container.Lifecycle.PreStop.Sleep.Seconds)*time.Second + grace + stopSlack; ends < least {
		t.Errorf("the pod is killed after %v; a stop may take %v", ends, least)
	}
}

func TestContribDocker(t *testing.T) {
	text := read(t, "docker/Dockerfile")
	found := regexp.MustCompile(`(?m)^HEALTHCHECK .*--timeout=(\S+) .*CMD (\[.*\])$`).FindStringSubmatch(text)
	if found == nil {
		t.Fatal("no HEALTHCHECK")
	}
	var words []string
	if err := json.Unmarshal([]byte(found[2]), &words); err != nil {
		t.Fatal(err)
	}
	check := parsed(t, words[1:]...)
	if timeout := duration(t, check.Flags().Lookup("timeout").Value.String()); words[0] != "everhop" || check.Name() != "health" || timeout >= duration(t, found[1]) {
		t.Errorf("%q, within %s", words, found[1])
	}
	if _, err := sources(words[2:]); err != nil {
		t.Error(err)
	}
	run := regexp.MustCompile(`(?m)^# docker run .*--stop-timeout (\d+) everhop (.*)$`).FindStringSubmatch(text)
	if run == nil {
		t.Fatal("no docker run")
	}
	listen := parsed(t, strings.Fields(run[2])...).Flags().Lookup("listen").Value.String()
	if want := words[len(words)-1]; !strings.HasSuffix(listen, want) {
		t.Errorf("it listens on %s, and %s is asked", listen, want)
	}
	if seconds, _ := strconv.Atoi(run[1]); time.Duration(seconds)*time.Second < consumer.DefaultGracePeriod+stopSlack {
		t.Errorf("it is killed after %d s", seconds)
	}
	for _, line := range []string{"CGO_ENABLED=0", "\nUSER 65532:65532\n", "\nENTRYPOINT [\"everhop\"]\n"} {
		if !strings.Contains(text, line) {
			t.Errorf("no %q", line)
		}
	}
}

func TestContribSystemd(t *testing.T) {
	const file = "systemd/everhop@.service"
	settings := map[string]string{}
	for line := range strings.Lines(read(t, file)) {
		if key, value, ok := strings.Cut(strings.TrimSpace(line), "="); ok && !strings.HasPrefix(key, "#") {
			settings[key] = value
		}
	}
	words := strings.Fields(settings["ExecStart"])
	flags := parsed(t, words[1:]...).Flags()
	grace := duration(t, flags.Lookup("grace").Value.String())
	if ends := duration(t, settings["TimeoutStopSec"]); grace != consumer.DefaultGracePeriod || ends < grace+stopSlack {
		t.Errorf("--grace %v, TimeoutStopSec=%v", grace, ends)
	}
	for key, want := range map[string]string{
		"Type": "notify", "Restart": "on-failure", "KillSignal": "SIGTERM", "KillMode": "mixed", "TimeoutStartSec": "infinity",
		"StateDirectory": strings.TrimPrefix(flags.Lookup("journal").Value.String(), "%S/"),
	} {
		if settings[key] != want {
			t.Errorf("%s=%s, want %s", key, settings[key], want)
		}
	}
	if feeds := duration(t, settings["WatchdogSec"]); feeds < 10*time.Second {
		t.Errorf("WatchdogSec=%v: a busy machine is no hang", feeds)
	}

	analyze, err := exec.LookPath("systemd-analyze")
	if err != nil {
		t.Skip("needs systemd-analyze, of the package systemd: ", err)
	}
	dir := t.TempDir()
	unit := bytes.ReplaceAll([]byte(read(t, file)), []byte(words[0]), []byte(os.Args[0]))
	if err := os.WriteFile(filepath.Join(dir, "everhop@.service"), unit, 0o600); err != nil {
		t.Fatal(err)
	}
	instance := filepath.Join(dir, "everhop@orders.service")
	if err := os.Symlink("everhop@.service", instance); err != nil {
		t.Fatal(err)
	}
	if said, err := exec.Command(analyze, "verify", "--man=no", instance).CombinedOutput(); err != nil || len(said) > 0 {
		t.Errorf("%v: %s", err, said)
	}
}
