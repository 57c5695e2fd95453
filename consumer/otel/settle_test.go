package otel

import (
	"testing"
	"time"
)

// What is never told of does not stay for ever.
func TestSettlementsAreBounded(t *testing.T) {
	now := time.Now()
	s := settlements{open: make(map[delivered]processed)}
	add := func(generation, tag uint64, ended time.Time) {
		s.add(delivered{generation, tag, now}, processed{ended: ended})
	}
	for tag := range uint64(5000) {
		add(1, tag, now)
	}
	if len(s.open) != 5000 {
		t.Errorf("%d of 5000 are there", len(s.open))
	}
	for tag := range uint64(8000) { // over the next connection
		add(2, tag, now)
	}
	if len(s.open) > 8000 {
		t.Errorf("%d are there, with those of an older connection", len(s.open))
	}
	for tag := range uint64(20_000) { // much later, over the same one
		add(2, 10_000+tag, now.Add(2*time.Hour))
	}
	if len(s.open) > 20_000 {
		t.Errorf("%d are there, with those of hours ago", len(s.open))
	}
	if _, ok := s.take(delivered{2, 29_999, now}); !ok {
		t.Error("the last one is not there")
	}
	if _, ok := s.take(delivered{2, 29_999, now}); ok {
		t.Error("the last one is there twice")
	}
}
