package secrets

import (
	"regexp"
	"strings"
)

// inArgument is generous: a password with a stray blank or slash in it is still a password. An address of --http or --management
// is an argument of its own, and others, such as those in a command, are not ours to hide.
var inArgument = regexp.MustCompile(`(?is)amqps?://(.*)@|^(?:--(?:http|management)=)?https?://(.*)@`)

// TakeArgs copies the arguments, and then writes asterisks over users and passwords of URLs where
// they were: ps shows them to every user of the machine. Somebody who looks in the first
// milliseconds sees them all the same; EVERHOP_URL has no such moment.
func TakeArgs(argv []string) []string {
	args := make([]string, len(argv))
	for i, arg := range argv {
		args[i] = strings.Clone(arg)
		if found := inArgument.FindStringSubmatchIndex(arg); found != nil {
			begin, end := max(found[2], found[4]), max(found[3], found[5]) // the other one is -1
			overwrite(arg[begin:end])
		}
	}
	return args
}
