// Package deadend has for tests what leads nowhere: a pipe that nobody reads, and a terminal that stands still.
package deadend
