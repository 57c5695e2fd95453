package glass

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"time"

	"github.com/everhop/everhop/consumer/health"
)

// Look is one at a consumer.
type Look struct {
	Address string
	Doc     *health.Document // nil: it did not answer as it should
	JSON    json.RawMessage  // the document as it came
	Err     error

	rates []float64 // by subscription: messages settled a second; none: not known
	last  *Look     // when it answered last, if it does not any more
}

// Reached tells whether the consumer has answered, and is alive.
func (l Look) Reached() bool { return l.Doc != nil && l.Doc.Alive }

// Ready tells whether everything is consumed.
func (l Look) Ready() bool { return l.Reached() && l.Doc.Ready }

func (l Look) level() level {
	switch worst := worstOf(l.Doc); {
	case !l.Ready():
		return bad
	case worst == note:
		return fine
	default:
		return worst
	}
}

// severity orders consumers: the worst has the highest.
func (l Look) severity() int {
	switch {
	case l.Doc == nil:
		return 5
	case !l.Doc.Alive:
		return 4
	case !l.Doc.Ready:
		return 3
	}
	return int(l.level())
}

// Source is where a consumer answers.
type Source struct{ base *url.URL }

var port = regexp.MustCompile(`^:?[0-9]+$`)

// ParseSource accepts http://host:port, with a path if the handler is below one, host:port, :port and a port.
func ParseSource(text string) (Source, error) {
	full := text
	if port.MatchString(text) {
		full = "127.0.0.1:" + strings.TrimPrefix(text, ":")
	}
	if !strings.Contains(full, "://") {
		full = "http://" + full
	}
	u, err := url.Parse(full)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" || u.RawQuery != "" || u.Fragment != "" || u.User != nil {
		return Source{}, errors.New("expected an address such as http://host:9090, host:9090 or :9090")
	}
	u.Path = strings.TrimSuffix(strings.TrimSuffix(u.Path, "/"), "/status")
	return Source{u}, nil
}

func (s Source) String() string {
	if s.base.Scheme == "http" && s.base.Path == "" {
		return s.base.Host
	}
	return s.base.String()
}

const (
	longest = 64 << 20 // bytes of an answer: ten thousand subscriptions have less
	excerpt = 300      // characters of an answer, in an error
)

// client takes no proxy from the environment: it asks what is near.
var client = &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}

// Get asks for a path below the source.
func (s Source) Get(ctx context.Context, path string, timeout time.Duration) (status int, body []byte, err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, timeout, errTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.base.JoinPath(path).String(), nil)
	if err != nil {
		return 0, nil, err
	}
	resp, err := client.Do(req)
	if err == nil {
		defer resp.Body.Close()
		status = resp.StatusCode
		body, err = io.ReadAll(io.LimitReader(resp.Body, longest))
	}
	if err != nil {
		return 0, nil, s.inWords(ctx, err, timeout)
	}
	return status, body, nil
}

var errTimeout = errors.New("no answer in time")

// inWords says what to do about it.
func (s Source) inWords(ctx context.Context, err error, timeout time.Duration) error {
	if errors.Is(context.Cause(ctx), errTimeout) {
		return fmt.Errorf("no answer within %v; the process may stand still or its machine be overloaded, or a firewall drops what is sent", timeout)
	}
	var dns *net.DNSError
	var dial *net.OpError
	switch {
	case errors.As(err, &dns):
		return fmt.Errorf("%w; check the host's name", dns)
	case errors.As(err, &dial) && dial.Op == "dial":
		return fmt.Errorf("%w; does the consumer run, with --listen %s or its handler there?", dial.Err, s.base.Host)
	}
	var wrapped *url.Error
	if errors.As(err, &wrapped) {
		err = wrapped.Err
	}
	return err
}

// Ask looks at a consumer.
func (s Source) Ask(ctx context.Context, timeout time.Duration) Look {
	look := Look{Address: s.String()}
	status, body, err := s.Get(ctx, "status", timeout)
	if err == nil && status != http.StatusOK {
		err = fmt.Errorf("%s answers %d %s; is that a consumer's health handler, and nothing before it in the path?",
			s.base.JoinPath("status"), status, cmp.Or(http.StatusText(status), "(no name)"))
	}
	if err == nil {
		look.Doc, err = parse(body)
		look.JSON = body
	}
	if err != nil {
		look.Doc, look.Err = nil, err
	}
	return look
}

// parse reads a document, which a newer Everhop may have written.
func parse(body []byte) (*health.Document, error) {
	doc := new(health.Document)
	err := json.Unmarshal(body, doc)
	if err == nil && (doc.State == "" || doc.Time.IsZero()) {
		err = errors.New("it has no state")
	}
	if err != nil {
		return nil, fmt.Errorf("the answer is no status of a consumer (%w): %.*q", err, excerpt, body)
	}
	return doc, nil
}
