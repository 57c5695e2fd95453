package main

import (
	"regexp"
	"strings"
)

// secrets is generous: a password with a stray blank or slash in it is still a password.
var secrets = regexp.MustCompile(`(?is)(?:amqp|http)s?://(.*)@`)

// takeArgs copies the arguments, and then writes asterisks over users and passwords of URLs where
// they were: ps shows them to every user of the machine. Somebody who looks in the first
// milliseconds sees them all the same; EVERHOP_URL has no such moment.
func takeArgs(argv []string) []string {
	args := make([]string, len(argv))
	for i, arg := range argv {
		args[i] = strings.Clone(arg)
		if found := secrets.FindStringSubmatchIndex(arg); found != nil {
			overwrite(arg[found[2]:found[3]])
		}
	}
	return args
}
