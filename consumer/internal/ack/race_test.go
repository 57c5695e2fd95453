//go:build race

package ack

func init() { raceDetector = true }
