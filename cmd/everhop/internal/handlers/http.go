package handlers

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/everhop/everhop/consumer"
)

const (
	// reaching is how long a connection may take, and its TLS handshake.
	reaching = 10 * time.Second
	// afterwards is how long to wait for the rest of an answer once its status is there, and leftOver how much of it is
	// read for the sake of the connection, which then serves the next message.
	afterwards, leftOver = time.Second, 64 << 10
	// Of Retry-After. A server that says 0 is not to be asked all the time.
	shortestDelay, longestDelay = time.Second, 24 * time.Hour
)

// Poster hands each message to a server:
//
//	message ── POST ──► server
//	status  ◄────────── 2xx: acknowledged
//
// The status decides, whatever follows it.
type Poster struct {
	to            *url.URL // without user and password
	shown         string   // what errors say of it: in its path and query there may be secrets
	authorization string   // empty: none
	timeout       time.Duration
	transport     *http.Transport
	ended         atomic.Int64 // requests that were not let finish, because everhop stops
}

// NewPoster must be ended. It posts to an address, in which there may be a user and a password, and gives a server so long to
// answer; a timeout of 0 is none. For as many messages as are handled at once it keeps connections.
func NewPoster(address *url.URL, timeout time.Duration, concurrency int) *Poster {
	to := *address
	p := &Poster{to: &to, shown: to.Scheme + "://" + to.Host, timeout: timeout}
	if to.User != nil {
		password, _ := to.User.Password()
		p.authorization = "Basic " + base64.StdEncoding.EncodeToString([]byte(to.User.Username()+":"+password))
		to.User = nil
	}
	dialer := net.Dialer{Timeout: reaching, KeepAlive: 15 * time.Second}
	p.transport = &http.Transport{
		Proxy:               http.ProxyFromEnvironment,
		DialContext:         dialer.DialContext,
		TLSHandshakeTimeout: reaching,
		MaxIdleConnsPerHost: concurrency, // one for each message that is handled at once
		IdleConnTimeout:     90 * time.Second,
		ForceAttemptHTTP2:   true,
		HTTP2:               &http.HTTP2Config{SendPingTimeout: 15 * time.Second},
		DisableCompression:  true, // of answers, which are of no use
	}
	return p
}

// End is called when there will be no more messages.
func (p *Poster) End() { p.transport.CloseIdleConnections() }

// reached is how far a request has come.
type reached struct{ asked, connected atomic.Bool }

func (r *reached) trace() *httptrace.ClientTrace {
	return &httptrace.ClientTrace{
		GetConn: func(string) { // once more, if the connection turns out to be closed that the last message has left
			r.connected.Store(false)
			r.asked.Store(true)
		},
		GotConn: func(httptrace.GotConnInfo) { r.connected.Store(true) },
	}
}

// nowhere tells that there is no connection.
func (r *reached) nowhere() bool { return r.asked.Load() && !r.connected.Load() }

// Handle is a consumer.Handler.
func (p *Poster) Handle(ctx context.Context, d *consumer.Delivery) error {
	stopping := ctx
	if p.timeout > 0 {
		limited, cancel := context.WithTimeoutCause(ctx, p.timeout, consumer.ErrHandlerTimeout)
		defer cancel()
		ctx = limited
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var far reached
	answer, err := p.transport.RoundTrip(p.request(httptrace.WithClientTrace(ctx, far.trace()), d))
	switch {
	case err == nil:
		defer answer.Body.Close()
		return p.outcome(answer, cancel)
	case stopping.Err() != nil:
		p.ended.Add(1)
		return p.failure("ended: %w", context.Cause(stopping))
	case far.nowhere():
		return consumer.Unavailable(p.failure("no connection: %w", err))
	case ctx.Err() != nil:
		return p.failure("no answer: %w", context.Cause(ctx))
	}
	return p.failure("no answer: %w", err)
}

func (p *Poster) failure(format string, arguments ...any) error {
	return fmt.Errorf("POST %s: %w", p.shown, fmt.Errorf(format, arguments...))
}

// request is the message as one.
func (p *Poster) request(ctx context.Context, d *consumer.Delivery) *http.Request {
	body := func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(d.Body)), nil }
	r := &http.Request{Method: http.MethodPost, URL: p.to, Host: p.to.Host, Header: requestHeaders(d), ContentLength: int64(len(d.Body))}
	r.Body, r.GetBody = http.NoBody, func() (io.ReadCloser, error) { return http.NoBody, nil }
	if len(d.Body) > 0 {
		r.Body, _ = body()
		r.GetBody = body
	}
	if p.authorization != "" {
		r.Header["Authorization"] = []string{p.authorization}
	}
	// It is not sent. It says that the request may be sent once more, at once, when the server has closed the connection
	// that the last message has left: no attempt is to be counted for that.
	r.Header["Idempotency-Key"] = []string{}
	return r.WithContext(ctx)
}

// outcome is what an answer means for the message. giveUp ends what is behind the status.
func (p *Poster) outcome(answer *http.Response, giveUp func()) error {
	overdue := time.AfterFunc(afterwards, giveUp)
	defer overdue.Stop()
	defer func() { _, _ = io.CopyN(io.Discard, answer.Body, leftOver) }()
	status := answer.StatusCode
	if status/100 == 2 {
		return nil
	}
	said, _ := io.ReadAll(io.LimitReader(answer.Body, mostSaid))
	err := consumer.Detail(p.failure("%d %s", status, http.StatusText(status)), "answer", beginOf(said))
	busy := status == http.StatusTooManyRequests || status == http.StatusServiceUnavailable
	if after, said := retryAfter(answer.Header.Get("Retry-After")); busy && said {
		return fmt.Errorf("%w: %w", err, consumer.RetryAfter(after))
	}
	switch {
	case status == http.StatusRequestTimeout, status == http.StatusTooEarly, status == http.StatusTooManyRequests:
		return err
	case status/100 == 4:
		return consumer.Permanent(err)
	case status/100 == 3:
		return fmt.Errorf("%w (redirects are not followed%s)", err, leadsTo(answer))
	}
	return err
}

// leadsTo says where an answer leads, without what may be secret.
func leadsTo(answer *http.Response) string {
	to, err := answer.Location()
	if err != nil {
		return ""
	}
	return "; this one leads to " + presentable([]byte(to.Scheme+"://"+to.Host))
}

// retryAfter reads the header, which has seconds or a date.
func retryAfter(text string) (delay time.Duration, said bool) {
	if seconds, err := strconv.ParseUint(text, 10, 31); err == nil {
		delay = time.Duration(seconds) * time.Second
	} else if date, err := http.ParseTime(text); err == nil {
		delay = time.Until(date)
	} else {
		return 0, false
	}
	return min(max(delay, shortestDelay), longestDelay), true
}

// Finish tells, when the consumer has stopped, whether all requests were let finish.
func (p *Poster) Finish(context.Context) error {
	switch n := p.ended.Load(); n {
	case 0:
		return nil
	case 1:
		return errors.New("stopped before the server had answered a request; its message goes back to the queue")
	default:
		return fmt.Errorf("stopped before the server had answered %d requests; their messages go back to the queue", n)
	}
}
