package publish_test

import (
	"strings"
	"testing"
	"time"

	"github.com/everhop/everhop/consumer/publish"
)

// New names each field that is wrong.
func TestConfigProblems(t *testing.T) {
	_, err := publish.New(publish.Config{
		URLs: []string{"http://x"}, GracePeriod: -1, MaxReviveAttempts: -1, Window: -1, WindowBytes: -1,
		ReviveBackoff: publish.Backoff{Initial: -1, Max: -1},
	})
	if err == nil {
		t.Fatal("nothing is wrong")
	}
	for _, field := range []string{"GracePeriod", "MaxReviveAttempts", "Window:", "WindowBytes", "ReviveBackoff.Initial", "ReviveBackoff.Max", "URL"} {
		if !strings.Contains(err.Error(), field) {
			t.Errorf("%s is not named: %v", field, err)
		}
	}
	_, err = publish.New(publish.Config{DrainTimeout: time.Nanosecond, Name: strings.Repeat("x", 256)})
	if err == nil || !strings.Contains(err.Error(), "URLs") {
		t.Errorf("%v", err)
	}
}
