package secrets

import "regexp"

var userinfo = regexp.MustCompile(`(?i)((?:amqp|http)s?://)\S*@`)

// Redact hides user and password of every URL in a text. Errors hold none, but may quote what was
// typed where no URL belongs.
func Redact(text string) string { return userinfo.ReplaceAllString(text, "$1***@") }
