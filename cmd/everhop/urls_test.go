package main

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestSplitURLs(t *testing.T) {
	tests := []struct {
		text string
		want []string
	}{
		{"amqp://a", []string{"amqp://a"}},
		{" amqp://a\n\tamqps://b ", []string{"amqp://a", "amqps://b"}},
		{"amqp://a,amqps://b,amqp://c", []string{"amqp://a", "amqps://b", "amqp://c"}},
		{"amqp://a, amqp://b", []string{"amqp://a", "amqp://b"}},
		{"amqp://u:p,w@a,amqp://b", []string{"amqp://u:p,w@a", "amqp://b"}},
		{"  ", []string{}},
	}
	for _, tt := range tests {
		if diff := cmp.Diff(tt.want, splitURLs(tt.text)); diff != "" {
			t.Errorf("%q:\n%s", tt.text, diff)
		}
	}
}
