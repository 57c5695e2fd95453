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
	"time"
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

	// What the URL asks for; 0 if it does not.
	heartbeat         time.Duration
	connectionTimeout time.Duration
	channelMax        uint16
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
// These query parameters (https://www.rabbitmq.com/docs/uri-query-parameters) are known:
//
//   - heartbeat, in seconds. [Plan].Heartbeat goes before it.
//   - connection_timeout, in milliseconds: how long one dial of this endpoint may take, until AMQP is open.
//     [Plan].ConnectTimeout bounds all of them together, as before; it defaults to the longest of these if that is
//     more than its default.
//   - channel_max, the most channels on the connection; the broker may have a lower one.
//   - auth_mechanism, plain or external.
//   - cacertfile, certfile, keyfile and server_name_indication, for amqps; and verify, which can only be
//     verify_peer: the server is always verified. [Plan].TLS goes before them.
//
// Any other is an error rather than ignored. If one is there twice, the last counts.
func ParseEndpoint(text string) (Endpoint, error) {
	if len(oneHostEach(text)) > 1 {
		return Endpoint{}, fmt.Errorf("%w: it lists several hosts, and one is expected here", ErrURL)
	}
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

// ParseEndpoints parses every URL and joins all errors; each names the URL by its number, from 1. A URL may list
// several hosts, with or without ports (amqp://user:password@host1:5672,host2:5672/vhost): one endpoint for each, of
// which all else is the same.
func ParseEndpoints(urls ...string) ([]Endpoint, error) {
	var endpoints []Endpoint
	var problems []error
	for i, text := range urls {
		for _, one := range oneHostEach(text) {
			e, err := ParseEndpoint(one)
			if err == nil {
				endpoints = append(endpoints, e)
				continue
			}
			if len(urls) > 1 {
				err = fmt.Errorf("URL %d: %w", i+1, err)
			}
			problems = append(problems, err)
			break // the same would be said of each of its hosts
		}
	}
	if err := errors.Join(problems...); err != nil {
		return nil, err
	}
	return endpoints, nil
}

// oneHostEach makes of a URL with a list of hosts one URL for each of them.
func oneHostEach(text string) []string {
	begin := strings.Index(text, "://")
	if begin < 0 {
		return []string{text}
	}
	begin += len("://")
	end := len(text)
	if i := strings.IndexAny(text[begin:], "/?#"); i >= 0 {
		end = begin + i
	}
	if strings.Contains(text[end:], "@") { // not where the hosts end, but amid a password
		return []string{text}
	}
	begin += strings.LastIndexByte(text[begin:end], '@') + 1 // a comma before that is the password's
	hosts := strings.Split(text[begin:end], ",")
	urls := make([]string, len(hosts))
	for i, host := range hosts {
		urls[i] = text[:begin] + host + text[end:]
	}
	return urls
}

// String is host:port, and never a credential.
func (e Endpoint) String() string { return net.JoinHostPort(e.host, strconv.Itoa(e.port)) }

// CheckFiles loads the certificate files that the URL names, and returns what is wrong with them.
func (e Endpoint) CheckFiles() error {
	_, err := e.files.Load(context.Background())
	return err
}
