package consumer

import "time"

// For the tests of the external test package.
var LogEvents = logEvents

func Delay(b Backoff, failures int) time.Duration { return b.delay(failures) }
