package broker

import (
	"context"
	"fmt"
	"os"
	"strings"

	amqp "github.com/rabbitmq/amqp091-go"
)

// Credentials are what a connection logs in with. They print without the password.
type Credentials struct {
	Username string
	Password string `json:"-"`
}

// String shows the user name only.
func (c Credentials) String() string { return c.Username + ":***" }

// GoString keeps %#v from printing the password.
func (c Credentials) GoString() string { return "broker.Credentials(" + c.String() + ")" }

// CredentialsFunc is asked for credentials before each dial, so that rotated ones are picked up by
// the next revival. It may be called from several goroutines at once, must honour ctx, and an
// error from it fails that dial as one of class Unknown, which is retried.
type CredentialsFunc func(ctx context.Context) (Credentials, error)

// PasswordFile reads the password from a file at each dial, without the newline at its end: the
// form in which orchestrators mount secrets.
func PasswordFile(username, path string) CredentialsFunc {
	return func(context.Context) (Credentials, error) {
		password, err := os.ReadFile(path)
		if err != nil {
			return Credentials{}, fmt.Errorf("broker: password file: %w", err)
		}
		return Credentials{Username: username, Password: strings.TrimRight(string(password), "\r\n")}, nil
	}
}

// login answers connection.start. Besides the SASL response it completes the client's
// capabilities: amqp091-go replaces the "capabilities" in the client properties with a set of its
// own and then asks for the response, before it writes both into connection.start-ok. Without
// authentication_failure_close RabbitMQ drops the socket of a wrong password without a word
// (https://www.rabbitmq.com/docs/auth-notification), and a refused login could not be told from
// a network that broke.
type login struct {
	mechanism  string
	response   string
	properties amqp.Table
}

func newLogin(e Endpoint, c Credentials, properties amqp.Table) *login {
	if e.external {
		return &login{mechanism: "EXTERNAL", properties: properties}
	}
	return &login{mechanism: "PLAIN", response: "\x00" + c.Username + "\x00" + c.Password, properties: properties}
}

func (l *login) Mechanism() string { return l.mechanism }

func (l *login) Response() string {
	if capabilities, ok := l.properties["capabilities"].(amqp.Table); ok {
		capabilities["authentication_failure_close"] = true
	}
	return l.response
}
