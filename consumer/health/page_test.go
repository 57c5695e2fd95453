package health_test

import (
	"math"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/everhop/everhop/broker/rabbittest"
	"github.com/everhop/everhop/consumer"
	"github.com/everhop/everhop/consumer/health"
)

// shown is a server of documents that are made up each time, with a night behind them.
type shown struct {
	mu     sync.Mutex
	make   func(now time.Time) health.Document
	server *httptest.Server
}

func show(t *testing.T, make func(now time.Time) health.Document) *shown {
	events, _ := nightOf(t, time.Now())
	return showEvents(t, events, make)
}

func showEvents(t *testing.T, events *health.Events, make func(now time.Time) health.Document) *shown {
	s := &shown{make: make}
	h := health.NewServer(func() health.Document {
		s.mu.Lock()
		defer s.mu.Unlock()
		return s.make(time.Now())
	}, events, health.Options{})
	s.server = httptest.NewServer(h)
	t.Cleanup(func() {
		h.Close()
		s.server.Close()
	})
	return s
}

func (s *shown) become(make func(now time.Time) health.Document) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.make = make
}

// busy has counts that grow with time, from begin on.
func busy(d *health.Document, begin time.Time) {
	for i := range d.Subscriptions {
		if s := &d.Subscriptions[i]; s.Doing == consumer.DoingConsume && s.InFlight < s.Concurrency {
			seconds, rate := d.Time.Sub(begin).Seconds(), float64(3+i*i%40)
			s.Stats.Acknowledged += uint64(rate * (seconds + 4*(1-math.Cos(seconds/8+float64(i))) - 4*(1-math.Cos(float64(i)))))
		}
	}
}

var (
	laptop = screen{width: 1366, height: 900}
	night1 = screen{width: 1366, height: 900, dark: true}
	phone  = screen{width: 360, height: 740}
	wall   = screen{width: 3840, height: 2160, dark: true}
)

// isLive: it has a status and some events. They come in two streams, so that one says nothing of the other.
const isLive = `document.querySelector("#contact")?.textContent.includes("live") && document.querySelector("#rows tr") !== null && document.querySelector("#events li") !== null`

// fits checks that nothing is wider than the screen.
func (p *tab) fits() {
	p.t.Helper()
	if wide := p.eval(`document.documentElement.scrollWidth - window.innerWidth`).(float64); wide > 0 {
		p.t.Errorf("it is %v pixels wider than the screen", wide)
	}
	const wide = `[...document.querySelectorAll("section, header, table, td, th, .card")].filter((x) => x.scrollWidth > x.clientWidth + 2).map((x) => (x.id || x.className || x.tagName) + ": " + x.innerText.slice(0, 60)).join("|")`
	if found := p.text(wide); found != "" {
		p.t.Errorf("what is in there is too wide: %.600s", found)
	}
}

// One who looks at the page sees first which queue is in trouble, and why.
func TestPageTellsTrouble(t *testing.T) {
	b := newBrowser(t)
	for _, c := range eight {
		t.Run(c.name, func(t *testing.T) {
			begin := time.Now()
			events, past := nightOf(t, begin)
			switch c.name {
			case "away":
				past.clock = begin.Add(-4 * time.Minute)
				past.fire(consumer.ConnectionError, consumer.Evidence{Class: "network", Endpoint: "rabbit-1.example.com:5672", Error: "read: connection reset by peer"})
			case "frozen":
				past.clock = begin.Add(-time.Minute)
				past.note(consumer.NoteStalled, consumer.Evidence{StalledMS: 42_000, Note: "the process stood still for 42 s"})
			case "poison":
				past.clock = begin.Add(-2 * time.Minute)
				past.note(consumer.NoteParked, consumer.Evidence{Queue: c.queue, MessageID: "4711", Attempt: 8, Error: c.why[c.queue]})
			}
			s := showEvents(t, events, func(now time.Time) health.Document { return made(now, 10) })
			s.become(func(now time.Time) health.Document {
				d := made(now, 10)
				c.make(&d)
				busy(&d, begin)
				return d
			})
			p := b.open(t, s.server.URL+"/", laptop)
			p.await("trouble", isLive+` && document.querySelector("#headline").textContent.includes("`+c.word+`")`)
			headline := p.text(`document.querySelector("h1").textContent`)
			if !strings.Contains(headline, c.queue) || !strings.Contains(headline, " \u2014 ") {
				t.Errorf("the headline %q does not say which queue and why", headline)
			}
			if c.queue != "" {
				row := p.text(`document.querySelector("#rows tr").innerText`)
				if !strings.HasPrefix(row, c.queue) || !strings.Contains(row, c.word) || !strings.ContainsAny(row, "\u2716\u25b2") {
					t.Errorf("the first row is %q", row)
				}
			}
			time.Sleep(3 * time.Second) // for the picture: rates
			p.picture("trouble-" + c.name)
			p.fits()
			p.isQuiet()
		})
	}
}

func TestPageOnScreens(t *testing.T) {
	b := newBrowser(t)
	for name, c := range map[string]struct {
		screen
		queues int
	}{
		"light": {laptop, 10}, "dark": {night1, 10}, "phone": {phone, 10}, "wall": {wall, 10},
		"readme": {screen{width: 1280, height: 740}, 10}, "one": {laptop, 1}, "many": {laptop, 200}, "many-phone": {phone, 200}, "many-wall": {wall, 200},
	} {
		t.Run(name, func(t *testing.T) {
			begin := time.Now()
			s := show(t, func(now time.Time) health.Document {
				d := made(now, c.queues)
				d.Publisher = publisher(now)
				if c.queues > 2 {
					eight[1].make(&d)
					d.Subscriptions[7].Doing, d.Subscriptions[7].Why = consumer.DoingPause, "paused by the caller (Pause), until Resume"
				}
				busy(&d, begin)
				return d
			})
			p := b.open(t, s.server.URL+"/", c.screen)
			p.await("page", isLive)
			if n := p.eval(`document.querySelectorAll("#rows tr").length`); n != float64(c.queues) {
				t.Errorf("%v rows of %d queues", n, c.queues)
			}
			if cards := p.text(`document.querySelector("#cards").textContent`); !strings.Contains(cards, "4,711 confirmed \u00b7 2 unconfirmed \u00b7 3 sent again") {
				t.Errorf("the publisher is shown as %q", cards)
			}
			if c.queues > 100 {
				p.eval(`(() => { const f = document.querySelector("#filter"); f.value = "MAILS.1"; f.dispatchEvent(new Event("input")); })()`)
				p.await("filtered rows", `document.querySelector("#shown").textContent.startsWith("11 of 200 queues")`)
				p.eval(`(() => { const f = document.querySelector("#filter"); f.value = ""; f.dispatchEvent(new Event("input")); })()`)
				p.await("all rows", `document.querySelectorAll("#rows tr").length === 200`)
				// What a second's look costs the page.
				took := p.eval(`(async () => { const before = performance.now(); let worst = 0, at = before;
					while (performance.now() - before < 3000) { await new Promise((r) => setTimeout(r, 5)); worst = Math.max(worst, performance.now() - at); at = performance.now(); }
					return worst; })()`)
				t.Logf("the page was busy for at most %.0f ms", took)
			}
			time.Sleep(4 * time.Second) // for the picture: rates
			if name == "readme" && os.Getenv("EVERHOP_TEST_SCREENSHOTS") != "" {
				time.Sleep(2 * time.Minute) // consumer/health/page.png
			}
			p.picture("screen-" + name)
			p.fits()
			p.eval(`window.scrollTo(0, document.body.scrollHeight)`)
			p.picture("screen-" + name + "-below")
			p.isQuiet()
		})
	}
}

// An outage is chosen by keyboard, and told in full.
func TestPageByKeyboard(t *testing.T) {
	b := newBrowser(t)
	s := show(t, func(now time.Time) health.Document { return made(now, 10) })
	p := b.open(t, s.server.URL+"/", laptop)
	p.await("outages", `document.querySelectorAll("#track button").length === 3`)
	for i := 0; p.eval(`document.activeElement.parentElement.id === "track"`) != true; i++ {
		if i > 20 {
			t.Fatal("Tab does not lead to an outage")
		}
		p.press("Tab", 9)
	}
	if outline := p.text(`getComputedStyle(document.activeElement).outlineStyle`); outline != "solid" {
		t.Errorf("what has the focus is not to be seen: %s", outline)
	}
	p.press("Enter", 13)
	p.await("details", `!document.querySelector("#outage").hidden`)
	for _, want := range []string{"broker shutdown 320", "CONNECTION_FORCED", "attempts\n13", "Revived"} {
		if told := p.text(`document.querySelector("#outage").innerText`); !strings.Contains(told, want) {
			t.Errorf("it does not tell %q:\n%s", want, told)
		}
	}
	p.picture("outage")
	p.await("all events of the night", `document.querySelectorAll("#events [data-name=Revived]").length === 3`)
	shown := p.eval(`document.querySelectorAll("#events li").length`)
	p.eval(`document.querySelector("#routine").click()`)
	p.await("idle checks", `document.querySelectorAll("#events [data-kind=cycle]").length > 3`)
	p.eval(`document.querySelector("#routine").click()`)
	if n := p.eval(`document.querySelectorAll("#events li").length`); n != shown {
		t.Errorf("%v events are shown without routine, and then %v", shown, n)
	}
	p.press("Enter", 13) // the choice of an outage has the focus still: it is taken back, and made again
	p.await("no details", `document.querySelector("#outage").hidden`)
	p.press("Enter", 13)
	time.Sleep(1500 * time.Millisecond) // it is drawn anew meanwhile
	if p.eval(`document.activeElement.getAttribute("aria-expanded")`) != "true" {
		t.Error("the focus was lost")
	}
	p.isQuiet()
}

// What comes from outside is text.
func TestPageEscapes(t *testing.T) {
	const evil = `<script>document.title="owned"</script><img src=x onerror="document.title='owned'">`
	b := newBrowser(t)
	events, past := nightOf(t, time.Now())
	past.fire(consumer.ConnectionError, consumer.Evidence{Class: evil, Queue: evil, Endpoint: evil, Error: evil})
	past.note(evil, consumer.Evidence{Queue: evil, Class: evil, Note: evil})
	s := showEvents(t, events, func(now time.Time) health.Document {
		d := made(now, 2)
		d.Name = evil
		unconsumed(&d, 0, evil, evil)
		d.Subscriptions[0].Queue, d.Subscriptions[0].Named = evil, evil
		d.Connections[0].Endpoint, d.Connections[0].BlockedReason, d.Connections[0].BlockedSince = evil, evil, now
		d.Publisher = publisher(now)
		d.Publisher.Endpoint, d.Publisher.Error, d.Publisher.BlockedReason = evil, evil, evil
		return d
	})
	p := b.open(t, s.server.URL+"/", laptop)
	p.await("page", isLive)
	p.eval(`document.querySelector("#track button:last-of-type").click()`)
	p.await("details", `!document.querySelector("#outage").hidden`)
	if n := p.eval(`document.querySelectorAll("script").length + document.querySelectorAll("img").length`); n != 1.0 {
		t.Errorf("%v elements came from outside", n.(float64)-1)
	}
	for _, where := range []string{"#headline", "#why", "#rows th", "#cards", "#events", "#outage", "#name"} {
		p.await(where+" to show it as text", `document.querySelector("`+where+`").textContent.includes(`+strconv.Quote(evil)+`)`)
	}
	if title := p.text("document.title"); title == "owned" {
		t.Error("a script from outside has run")
	}
	p.picture("evil")
	p.isQuiet()
}

// While there is no contact the page says so, and that what it shows is old. Then it goes on by itself.
func TestPageOutlivesTheServer(t *testing.T) {
	b := newBrowser(t)
	address := rabbittest.DeadPort(t)
	listen := func() (listener net.Listener) {
		// It is in use for a moment when a process that is just being started has a copy of the socket.
		rabbittest.Eventually(t, patience, "the server listens", func() bool {
			var err error
			listener, err = net.Listen("tcp", address)
			return err == nil
		})
		return listener
	}
	serve := func(l net.Listener, queues int) (end func()) {
		events, _ := nightOf(t, time.Now())
		h := health.NewServer(func() health.Document { return made(time.Now(), queues) }, events, health.Options{})
		server := &http.Server{Handler: h}
		done := make(chan struct{})
		go func() {
			defer close(done)
			_ = server.Serve(l)
		}()
		return func() {
			h.Close()
			_ = server.Close()
			<-done
		}
	}
	end := serve(listen(), 3)
	p := b.open(t, "http://"+address+"/", laptop)
	p.await("page", isLive)
	isOld := `document.body.classList.contains("old")`
	if p.eval(isOld) == true {
		t.Error("it is old from the start")
	}
	end()
	p.await("word of the loss", isOld+` && document.querySelector("#contact").textContent.startsWith("No contact since ")`)
	if n := p.eval(`document.querySelectorAll("#rows tr").length`); n != 3.0 {
		t.Errorf("%v rows are left", n)
	}
	p.picture("no-contact")
	defer serve(listen(), 5)()
	p.await("page of the new server", isLive+` && !`+isOld+` && document.querySelectorAll("#rows tr").length === 5`)
	p.await("events of the new server", `document.querySelectorAll("#events li").length > 5`)
	if n := p.eval(`document.querySelectorAll("#events [data-kind=boot]").length`); n != 1.0 {
		t.Errorf("events are told twice: %v boots", n)
	}
	p.isQuiet()
}
