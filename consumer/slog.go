package consumer

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"strconv"
	"time"

	"github.com/rs/zerolog"
)

// SlogLogger returns a zerolog.Logger, for Config.Logger, that writes to a slog.Handler: for programs that
// log by log/slog. Levels, messages and fields arrive as they are; the time is that of the call. What the
// handler does not enable is dropped.
func SlogLogger(handler slog.Handler) zerolog.Logger { return zerolog.New(slogWriter{handler}) }

// slogWriter gets each line of a zerolog.Logger as a JSON object.
type slogWriter struct{ handler slog.Handler }

// Write is for a line without a level.
func (w slogWriter) Write(line []byte) (int, error) { return w.WriteLevel(zerolog.InfoLevel, line) }

// WriteLevel makes a record of a line.
func (w slogWriter) WriteLevel(l zerolog.Level, line []byte) (int, error) {
	ctx, level := context.Background(), slogLevel(l)
	if !w.handler.Enabled(ctx, level) {
		return len(line), nil
	}
	attrs, err := attrsOf(line)
	if err != nil {
		return 0, err
	}
	record := slog.NewRecord(time.Now(), level, "", 0)
	for _, a := range attrs {
		switch a.Key {
		case zerolog.LevelFieldName:
		case zerolog.MessageFieldName:
			record.Message = a.Value.String()
		default:
			record.AddAttrs(a)
		}
	}
	return len(line), w.handler.Handle(ctx, record)
}

func slogLevel(l zerolog.Level) slog.Level {
	switch {
	case l >= zerolog.ErrorLevel && l <= zerolog.PanicLevel:
		return slog.LevelError
	case l == zerolog.WarnLevel:
		return slog.LevelWarn
	case l == zerolog.DebugLevel, l == zerolog.TraceLevel:
		return slog.LevelDebug
	}
	return slog.LevelInfo
}

// attrsOf returns the members of a JSON object in their order.
func attrsOf(object []byte) ([]slog.Attr, error) {
	in := json.NewDecoder(bytes.NewReader(object))
	in.UseNumber()
	if begin, err := in.Token(); err != nil || begin != json.Delim('{') {
		return nil, errors.New("consumer: a line of the log is no JSON object")
	}
	var attrs []slog.Attr
	for in.More() {
		key, err := in.Token()
		if err != nil {
			return nil, err
		}
		var value any
		if err := in.Decode(&value); err != nil {
			return nil, err
		}
		attrs = append(attrs, slog.Attr{Key: key.(string), Value: slogValue(value)})
	}
	return attrs, nil
}

func slogValue(v any) slog.Value {
	if number, ok := v.(json.Number); ok {
		if n, err := number.Int64(); err == nil {
			return slog.Int64Value(n)
		}
		if n, err := strconv.ParseUint(number.String(), 10, 64); err == nil {
			return slog.Uint64Value(n)
		}
		f, _ := number.Float64() // it came out of JSON
		return slog.Float64Value(f)
	}
	return slog.AnyValue(v)
}
