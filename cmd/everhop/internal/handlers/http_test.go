package handlers

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/everhop/everhop/broker/rabbittest"
	"github.com/everhop/everhop/consumer"
)

// posterTo hands messages to an address.
func posterTo(t *testing.T, address string, timeout time.Duration) *Poster {
	t.Helper()
	to, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	p := NewPoster(to, timeout, 1)
	t.Cleanup(p.End)
	return p
}

// served is a server for one test.
func served(t *testing.T, handle http.HandlerFunc) *httptest.Server {
	t.Helper()
	server := httptest.NewServer(handle)
	t.Cleanup(server.Close)
	return server
}

const (
	acknowledges  = "acknowledged"
	fails         = "a failure"
	permanent     = "permanent"
	isUnavailable = "unavailable"
)

// meaningOf is what an error of a handler means, as the consumer understands it.
func meaningOf(err error) string {
	var delay interface{ Delay() time.Duration }
	switch {
	case err == nil:
		return acknowledges
	case errors.As(err, &delay):
		after := delay.Delay()
		if after > 10*time.Minute { // a date has seconds only, and the test may be slow
			after = after.Round(time.Minute)
		}
		return fmt.Sprint("again in ", after.Round(time.Second))
	}
	for target := err; target != nil; target = errors.Unwrap(target) {
		switch fmt.Sprintf("%T", target) {
		case "*consumer.permanent":
			return permanent
		case "*consumer.unavailable":
			return isUnavailable
		}
	}
	return fails
}

// What a server's answer means for a message.
func TestHTTPAnswers(t *testing.T) {
	tests := []struct {
		status     int
		retryAfter string
		want       string
	}{
		{200, "", acknowledges}, {201, "", acknowledges}, {204, "", acknowledges}, {202, "9", acknowledges}, {299, "", acknowledges},
		{301, "", fails}, {302, "", fails}, {303, "", fails}, {304, "", fails}, {307, "", fails}, {308, "", fails},
		{400, "", permanent}, {401, "", permanent}, {404, "", permanent}, {405, "9", permanent}, {410, "", permanent}, {413, "", permanent}, {422, "", permanent}, {499, "", permanent},
		{408, "", fails}, {425, "", fails}, {429, "", fails}, {408, "9", fails},
		{429, "9", "again in 9s"}, {503, "120", "again in 2m0s"}, {503, "0", "again in 1s"}, {503, "99999999", "again in 24h0m0s"},
		{503, "Sun, 06 Nov 1994 08:49:37 GMT", "again in 1s"}, {503, "date", "again in 1h0m0s"},
		{503, "soon", fails}, {503, "-1", fails}, {503, "", fails}, {500, "9", fails}, {500, "", fails}, {502, "", fails}, {504, "", fails}, {599, "", fails},
	}
	for _, tt := range tests {
		t.Run(fmt.Sprint(tt.status, " ", tt.retryAfter), func(t *testing.T) {
			calls := 0
			server := served(t, func(w http.ResponseWriter, r *http.Request) {
				calls++
				switch {
				case tt.retryAfter == "date":
					w.Header().Set("Retry-After", time.Now().Add(time.Hour+10*time.Second).UTC().Format(http.TimeFormat))
				case tt.retryAfter != "":
					w.Header().Set("Retry-After", tt.retryAfter)
				}
				if tt.status/100 == 3 {
					w.Header().Set("Location", "http://elsewhere/?token=secret")
				}
				w.WriteHeader(tt.status)
				if tt.status != 204 && tt.status != 304 {
					io.WriteString(w, "what it says\x1b"+strings.Repeat(".", 5000))
				}
			})
			err := posterTo(t, server.URL+"/secret", 0).Handle(t.Context(), &consumer.Delivery{Body: []byte("body")})
			if got := meaningOf(err); got != tt.want || calls != 1 {
				t.Errorf("%q after %d calls, want %q: %v", got, calls, tt.want, err)
			}
			if err == nil || tt.status == 304 {
				return
			}
			want := fmt.Sprintf(`POST %s: %d %s: what it says\x1b.`, server.URL, tt.status, http.StatusText(tt.status))
			if !strings.HasPrefix(err.Error(), want) || len(err.Error()) > 1<<10+100 || strings.Contains(err.Error(), "secret") {
				t.Errorf("%q, want %q...", err, want)
			}
		})
	}
}

// A request has the body, all properties and headers, and nothing that the message could have made of it.
func TestHTTPRequest(t *testing.T) {
	var header http.Header
	var body []byte
	var path string
	server := served(t, func(_ http.ResponseWriter, r *http.Request) {
		header, path = r.Header, r.Method+" "+r.RequestURI
		body, _ = io.ReadAll(r.Body)
	})
	address := strings.Replace(server.URL, "://", "://user:p%40ss@", 1) + "/orders?x=1"
	d := &consumer.Delivery{
		Body: []byte{0, 1, 2}, Queue: "q", Exchange: "e", RoutingKey: "k\r\nX-Evil: 1", Redelivered: true, MessageID: "m", CorrelationID: "c",
		ReplyTo: "r", ContentType: "application/json", ContentEncoding: "gzip", Type: "t", AppID: "a", UserID: "u",
		Timestamp: time.Unix(1e9, 0), Expiration: "60000", Priority: 3, DeliveryMode: 2,
		Headers: map[string]any{
			"traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "tracestate": "a=b", "x-n": int32(5),
			"Host": "evil", "Content-Length": "1", "idempotency-key": "x", consumer.HeaderAttempts: int64(2),
		},
	}
	if err := posterTo(t, address, 0).Handle(t.Context(), d); err != nil {
		t.Fatal(err)
	}
	if path != "POST /orders?x=1" || !slices.Equal(body, d.Body) {
		t.Errorf("%s: %q", path, body)
	}
	want := http.Header{
		"User-Agent": userAgent, "Content-Length": {"3"}, "Content-Type": {"application/json"}, "Content-Encoding": {"gzip"},
		"Authorization":                       {"Basic dXNlcjpwQHNz"},
		"Traceparent":                         {"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"},
		"Tracestate":                          {"a=b"},
		"X-Everhop-Queue":                     {"q"},
		"X-Everhop-Header-X-Everhop-Attempts": {"2"}, "X-Everhop-Header-X-N": {"5"}, "X-Everhop-Header-Tracestate": {"a=b"},
		"X-Everhop-Header-Traceparent": {"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"},
		"X-Everhop-Header-Host":        {"evil"}, "X-Everhop-Header-Content-Length": {"1"}, "X-Everhop-Header-Idempotency-Key": {"x"},
		"X-Everhop-Exchange": {"e"}, "X-Everhop-Routing-Key": {"k%0D%0AX-Evil: 1"}, "X-Everhop-Redelivered": {"true"},
		"X-Everhop-Message-Id": {"m"}, "X-Everhop-Correlation-Id": {"c"}, "X-Everhop-Reply-To": {"r"}, "X-Everhop-Content-Type": {"application/json"},
		"X-Everhop-Content-Encoding": {"gzip"}, "X-Everhop-Type": {"t"}, "X-Everhop-App-Id": {"a"}, "X-Everhop-User-Id": {"u"},
		"X-Everhop-Timestamp": {"2001-09-09T01:46:40Z"}, "X-Everhop-Expiration": {"60000"}, "X-Everhop-Priority": {"3"},
		"X-Everhop-Delivery-Mode": {"2"}, "X-Everhop-Attempt": {"3"},
	}
	if diff := cmp.Diff(want, header); diff != "" {
		t.Error(diff)
	}

	d = &consumer.Delivery{ContentType: "a\r\nb", Headers: map[string]any{"traceparent": "a\nb", "tracestate": int64(1)}}
	if err := posterTo(t, address, 0).Handle(t.Context(), d); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"Content-Type", "Traceparent", "Tracestate"} {
		if _, there := header[name]; there {
			t.Errorf("%s: %q", name, header[name])
		}
	}
}

// Who cannot be reached is not the message's fault; who is reached and says nothing is.
func TestHTTPFailures(t *testing.T) {
	release, asked := make(chan struct{}), make(chan struct{}, 10)
	mute := served(t, func(http.ResponseWriter, *http.Request) {
		asked <- struct{}{}
		<-release
	})
	defer close(release)
	breaks := served(t, func(w http.ResponseWriter, _ *http.Request) {
		conn, _, _ := w.(http.Hijacker).Hijack()
		conn.Close()
	})
	untrusted := httptest.NewTLSServer(http.NotFoundHandler())
	untrusted.Config.ErrorLog = nil
	defer untrusted.Close()
	endless := served(t, func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusOK)
		w.(http.Flusher).Flush()
		<-r.Context().Done() // the client has had enough
	})
	tests := []struct {
		name, address string
		timeout       time.Duration
		want, text    string
	}{
		{"nobody listens", "http://user:secret@" + rabbittest.DeadPort(t) + "/secret", 0, isUnavailable, "no connection: dial tcp"},
		{"no such name", "http://no-such-host.invalid/", 0, isUnavailable, "no connection: "},
		{"untrusted", untrusted.URL, 0, isUnavailable, "certificate"},
		{"no answer in time", mute.URL, 2 * time.Second, fails, "no answer: consumer: the handler timeout is over"},
		{"the connection breaks", breaks.URL, 0, fails, "no answer: EOF"},
		{"no end of the answer", endless.URL, 0, acknowledges, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := posterTo(t, tt.address, tt.timeout)
			err := p.Handle(t.Context(), &consumer.Delivery{Body: []byte("body")})
			if got := meaningOf(err); got != tt.want || err != nil && (!strings.Contains(err.Error(), tt.text) || strings.Contains(err.Error(), "secret")) {
				t.Errorf("%q, want %q: %v", got, tt.want, err)
			}
			if p.ended.Load() != 0 {
				t.Error("counted as ended by a stop")
			}
		})
	}
	t.Run("stop", func(t *testing.T) {
		p := posterTo(t, mute.URL, time.Hour)
		ctx, stop := context.WithCancel(t.Context())
		for len(asked) > 0 { // by those before
			<-asked
		}
		go func() {
			<-asked
			stop()
		}()
		err := p.Handle(ctx, &consumer.Delivery{})
		if !errors.Is(err, context.Canceled) || p.Finish(t.Context()) == nil {
			t.Errorf("%v, %v", err, p.Finish(t.Context()))
		}
	})
}

// A server that closes a connection before the next message comes costs no attempt.
func TestHTTPConnectionClosedMeanwhile(t *testing.T) {
	var mu sync.Mutex
	requests, closed := map[string]int{}, 0 // by connection
	server := served(t, func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		mu.Lock()
		defer mu.Unlock()
		if requests[r.RemoteAddr]++; requests[r.RemoteAddr] == 1 {
			return
		}
		closed++
		conn, _, _ := w.(http.Hijacker).Hijack()
		conn.Close()
	})
	p := posterTo(t, server.URL, 0)
	for i := range 5 {
		if err := p.Handle(t.Context(), &consumer.Delivery{Body: []byte("body")}); err != nil {
			t.Errorf("message %d: %v", i, err)
		}
	}
	mu.Lock()
	defer mu.Unlock()
	if closed == 0 {
		t.Error("no connection was used twice")
	}
}
