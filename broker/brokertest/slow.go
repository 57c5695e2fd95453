package brokertest

import (
	"fmt"
	"time"
)

// Delay sends everything later: by d, or by up to twice as much if something is on its way already.
// Delay(0) ends Delay, Drip, Limit and SplitFrames, of which the last one counts.
func Delay(d time.Duration) Fault {
	return Fault{name: fmt.Sprintf("Delay(%v)", d), connection: func(c *connection, _ aim) bool {
		c.socket.slow(d, pace{}, pace{}, false)
		return false
	}}
}

// Drip sends one byte at a time, each after a pause.
func Drip(pause time.Duration) Fault {
	return Fault{name: fmt.Sprintf("Drip(%v)", pause), connection: func(c *connection, _ aim) bool {
		c.socket.slow(0, pace{1, pause}, pace{}, false)
		return false
	}}
}

// Limit lets so many bytes a second through, one way or both, as a narrow line does: what is large takes its time, and
// what comes behind it waits.
func Limit(d Direction, bytesPerSecond int) Fault {
	return Fault{name: fmt.Sprintf("Limit(%s, %d B/s)", d, bytesPerSecond), connection: func(c *connection, _ aim) bool {
		most := max(bytesPerSecond/100, 1)
		p := pace{most, time.Duration(most) * time.Second / time.Duration(max(bytesPerSecond, 1))}
		var down, up pace
		if d&ToClient != 0 {
			down = p
		}
		if d&FromClient != 0 {
			up = p
		}
		c.socket.slow(0, down, up, false)
		return false
	}}
}

// pace is how many bytes go at once, and how long as many take. In the zero pace there is no limit.
type pace struct {
	bytes int
	take  time.Duration
}

func (p pace) clip(n int) int {
	if p.bytes == 0 {
		return n
	}
	return min(n, p.bytes)
}

func (p pace) takes(n int) time.Duration {
	if p.bytes == 0 {
		return 0
	}
	return p.take * time.Duration(n) / time.Duration(p.bytes)
}
