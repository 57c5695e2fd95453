package broker

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	amqp "github.com/rabbitmq/amqp091-go"
)

// Credentials are what a connection logs in with; make them with NewCredentials. The password goes to the
// broker and nowhere else: whatever prints or encodes them, or a value that holds them, does not show it.
type Credentials struct {
	username string
	password secret
}

// NewCredentials are a user name and its password. A name that CheckName finds fault with, and a NUL in
// either, fail when they are used.
func NewCredentials(username, password string) Credentials {
	return Credentials{username: username, password: conceal(password)}
}

// String shows the user name only.
func (c Credentials) String() string { return c.username + ":***" }

// problem is what keeps the credentials from being sent, in words that tell nothing of them.
func (c Credentials) problem() error {
	if c.username == "" {
		return errors.New("the user name is empty")
	}
	if err := CheckName(c.username); err != nil {
		return fmt.Errorf("the user name: %w", err)
	}
	if strings.Contains(c.username+c.password.reveal(), plainSeparator) {
		return errors.New("a NUL in user name or password")
	}
	return nil
}

// secret is a text inside a closure. fmt calls no method on what lies in an unexported field, and prints
// its strings; a function it prints as an address, by every verb and at any depth, and so does whatever
// else reads values by reflection. The pointer makes it comparable: copies are equal. The zero value is
// the empty text.
type secret struct{ text *func() string }

func conceal(text string) secret {
	held := func() string { return text }
	return secret{&held}
}

func (s secret) reveal() string {
	if s.text == nil {
		return ""
	}
	return (*s.text)()
}

// CredentialsFunc is asked for credentials before each dial, so that rotated ones are picked up by
// the next revival. It may be called from several goroutines at once and should honour ctx. An error from
// it, and credentials without a user name, fail that dial as one of class Unknown, which is retried.
type CredentialsFunc func(ctx context.Context) (Credentials, error)

// PasswordFile reads the password from a file at each dial, without the newline at its end: the
// form in which orchestrators mount secrets.
func PasswordFile(username, path string) CredentialsFunc {
	return func(context.Context) (Credentials, error) {
		password, err := os.ReadFile(path)
		if err != nil {
			return Credentials{}, fmt.Errorf("broker: password file: %w", err)
		}
		return NewCredentials(username, strings.TrimRight(string(password), "\r\n")), nil
	}
}

// plainSeparator stands before user name and password in the SASL mechanism PLAIN, and in neither.
const plainSeparator = "\x00"

// login answers connection.start. Besides the SASL response it completes the client's
// capabilities: amqp091-go replaces the "capabilities" in the client properties with a set of its
// own and then asks for the response, before it writes both into connection.start-ok. Without
// authentication_failure_close RabbitMQ drops the socket of a wrong password without a word
// (https://www.rabbitmq.com/docs/auth-notification), and a refused login could not be told from
// a network that broke.
type login struct {
	mechanism  string
	response   secret
	properties amqp.Table
}

func newLogin(e Endpoint, c Credentials, properties amqp.Table) *login {
	if e.external {
		return &login{mechanism: "EXTERNAL", properties: properties}
	}
	response := plainSeparator + c.username + plainSeparator + c.password.reveal()
	return &login{mechanism: "PLAIN", response: conceal(response), properties: properties}
}

func (l *login) Mechanism() string { return l.mechanism }

func (l *login) Response() string {
	if capabilities, ok := l.properties["capabilities"].(amqp.Table); ok {
		capabilities["authentication_failure_close"] = true
	}
	return l.response.reveal()
}
