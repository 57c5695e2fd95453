package consumer_test

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/rs/zerolog"

	"github.com/everhop/everhop/consumer"
)

// A program that logs by log/slog gives the consumer its handler.
func ExampleSlogLogger() {
	handler := slog.NewTextHandler(os.Stdout, &slog.HandlerOptions{
		ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
			if a.Key == slog.TimeKey {
				return slog.Attr{} // for the sake of the output
			}
			return a
		},
	})
	logger := consumer.SlogLogger(handler) // for Config.Logger
	logger.Warn().Str(consumer.FieldQueue, "orders").Int(consumer.FieldAttempt, 2).Msg("handler failed")
	// Output:
	// level=WARN msg="handler failed" queue=orders attempt=2
}

func TestSlogLogger(t *testing.T) {
	var b bytes.Buffer
	handler := slog.NewJSONHandler(&b, &slog.HandlerOptions{
		Level: slog.LevelInfo,
		ReplaceAttr: func(groups []string, a slog.Attr) slog.Attr {
			if a.Key == slog.TimeKey && len(groups) == 0 {
				return slog.Attr{}
			}
			return a
		},
	})
	logger := consumer.SlogLogger(handler).With().Str("service", "shop").Logger()
	for level, want := range map[zerolog.Level]string{
		zerolog.TraceLevel: "", zerolog.DebugLevel: "", zerolog.InfoLevel: "INFO", zerolog.WarnLevel: "WARN",
		zerolog.ErrorLevel: "ERROR", zerolog.NoLevel: "INFO",
	} {
		b.Reset()
		logger.WithLevel(level).Err(errors.New("it \"fails\"\nand again")).Uint64("big", 1<<63).Int64("tag", -5).Float64("f", 0.5).
			Bool("yes", true).Strs("list", []string{"a"}).Msg("said")
		if want == "" {
			if b.Len() > 0 {
				t.Errorf("%s is not enabled, and written: %s", level, &b)
			}
			continue
		}
		line := fmt.Sprintf(`{"level":%q,"msg":"said","service":"shop","error":"it \"fails\"\nand again","big":9223372036854775808,`+
			`"tag":-5,"f":0.5,"yes":true,"list":["a"]}`+"\n", want)
		if diff := cmp.Diff(line, b.String()); diff != "" {
			t.Errorf("%s (-want +got):\n%s", level, diff)
		}
	}
}
