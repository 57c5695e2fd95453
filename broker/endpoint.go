package broker

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net"
	"net/url"
	"strconv"
	"strings"
)

const (
	port    = 5672
	portTLS = 5671
)

// ErrURL is returned, wrapped with what was wrong, for a URL that does not name an endpoint.
// The text never holds any part of the URL that could be a credential.
var ErrURL = errors.New("broker: bad URL")

// Endpoint is one address of a broker, with the virtual host to open there. It is an immutable
// value, equal to its copies, and can be logged as it is: nothing that prints it, or what holds it, shows
// the password.
type Endpoint struct {
	host        string
	port        int
	vhost       string
	tls         bool
	external    bool
	files       TLSFiles
	credentials Credentials
}

// ParseEndpoint reads a URL of the form
//
//	amqp[s]://[user[:password]@]host[:port][/vhost][?parameters]
//
// as RabbitMQ's URI specification describes it (https://www.rabbitmq.com/docs/uri-spec). What is
// missing defaults to guest:guest, port 5672 (amqps: 5671) and the virtual host "/". Reserved
// characters in user, password and virtual host must be percent-encoded. User and virtual host are names
// (see [CheckName]).
//
// Of the query parameters (https://www.rabbitmq.com/docs/uri-query-parameters) cacertfile, certfile,
// keyfile and server_name_indication are known for amqps, and auth_mechanism=plain|external;
// any other is an error rather than ignored.
func ParseEndpoint(text string) (Endpoint, error) {
	u, err := url.Parse(text)
	if err != nil {
		// url's own error quotes what it could not read, and a password with a "/" in it is
		// read as a port: repeating the text would print the password.
		return Endpoint{}, fmt.Errorf("%w: it cannot be read as amqp[s]://user:password@host:port/vhost; "+
			"characters such as / ? # @ : in user, password or vhost must be percent-encoded", ErrURL)
	}
	e := Endpoint{host: u.Hostname(), vhost: "/", credentials: NewCredentials("guest", "guest")}
	switch u.Scheme {
	case "amqp":
		e.port = port
	case "amqps":
		e.port, e.tls = portTLS, true
	default:
		return Endpoint{}, fmt.Errorf("%w: it must begin with amqp:// or amqps://", ErrURL)
	}
	if u.Opaque != "" || e.host == "" {
		return Endpoint{}, fmt.Errorf("%w: the host is missing (amqp://HOST)", ErrURL)
	}
	if u.Fragment != "" {
		return Endpoint{}, fmt.Errorf("%w: a '#' must be percent-encoded as %%23", ErrURL)
	}
	if strings.Contains(u.EscapedPath()+u.RawQuery, "@") {
		// A password such as 1/x or 1?x: what follows was read as path or query, and u.Host is the user.
		return Endpoint{}, fmt.Errorf("%w: / ? # @ : in user, password or vhost must be percent-encoded", ErrURL)
	}
	if p := u.Port(); p != "" {
		if e.port, err = strconv.Atoi(p); err != nil || e.port < 1 || e.port > math.MaxUint16 {
			return Endpoint{}, fmt.Errorf("%w: the port must be between 1 and 65535", ErrURL)
		}
	}
	if u.User != nil {
		e.credentials.username = u.User.Username()
		if password, ok := u.User.Password(); ok {
			e.credentials.password = conceal(password)
		}
	}
	if vhost := strings.TrimPrefix(u.Path, "/"); vhost != "" {
		e.vhost = vhost
	}
	if err := CheckName(e.vhost); err != nil {
		return Endpoint{}, fmt.Errorf("%w: the virtual host: %w", ErrURL, err)
	}
	if err := e.parameters(u.RawQuery); err != nil {
		return Endpoint{}, err
	}
	if err := e.credentials.problem(); err != nil && !e.external {
		return Endpoint{}, fmt.Errorf("%w: %w", ErrURL, err)
	}
	return e, nil
}

func (e *Endpoint) parameters(query string) error {
	values, err := url.ParseQuery(query)
	if err != nil {
		return fmt.Errorf("%w: the part after '?' cannot be read", ErrURL)
	}
	for name, v := range values {
		value := v[len(v)-1]
		switch name {
		case "cacertfile":
			e.files.CA = value
		case "certfile":
			e.files.Certificate = value
		case "keyfile":
			e.files.Key = value
		case "server_name_indication":
			e.files.ServerName = value
		case "auth_mechanism":
			switch strings.ToLower(value) {
			case "plain":
			case "external":
				e.external = true
			default:
				return fmt.Errorf("%w: auth_mechanism must be plain or external", ErrURL)
			}
		default:
			return fmt.Errorf("%w: parameter %q is not known (known: auth_mechanism, cacertfile, certfile, keyfile, "+
				"server_name_indication)", ErrURL, name)
		}
	}
	if !e.tls && e.files != (TLSFiles{}) {
		return fmt.Errorf("%w: certificate parameters need amqps://", ErrURL)
	}
	return nil
}

// ParseEndpoints parses every URL and joins all errors; each names the URL by its number, from 1.
func ParseEndpoints(urls ...string) ([]Endpoint, error) {
	endpoints := make([]Endpoint, len(urls))
	var problems []error
	for i, text := range urls {
		var err error
		if endpoints[i], err = ParseEndpoint(text); err != nil {
			if len(urls) > 1 {
				err = fmt.Errorf("URL %d: %w", i+1, err)
			}
			problems = append(problems, err)
		}
	}
	if err := errors.Join(problems...); err != nil {
		return nil, err
	}
	return endpoints, nil
}

// String is host:port, and never a credential.
func (e Endpoint) String() string { return net.JoinHostPort(e.host, strconv.Itoa(e.port)) }

// CheckFiles loads the certificate files that the URL names, and returns what is wrong with them.
func (e Endpoint) CheckFiles() error {
	_, err := e.files.Load(context.Background())
	return err
}
