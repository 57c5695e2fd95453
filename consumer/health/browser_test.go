package health_test

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"image"
	"image/color"
	"image/draw"
	"image/png"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// patience is how long a test waits for what must come; nothing is asserted about being faster.
const patience = time.Minute

// browser is a headless Chromium, spoken to by the DevTools protocol over two pipes.
type browser struct {
	t  *testing.T
	in *os.File

	mu      sync.Mutex
	last    int
	answers map[int]chan answer
	tabs    map[string]*tab // by session
}

// answer is one to a call, or an event.
type answer struct {
	ID        int             `json:"id"`
	SessionID string          `json:"sessionId"`
	Method    string          `json:"method"`
	Params    json.RawMessage `json:"params"`
	Result    json.RawMessage `json:"result"`
	Error     *struct {
		Message string `json:"message"`
	} `json:"error"`
}

// newBrowser starts one, which ends with the test. What is missing skips the test, and with EVERHOP_TEST_REQUIRE=1 fails it.
func newBrowser(t *testing.T) *browser {
	if testing.Short() {
		t.Skip("it takes a browser")
	}
	path := ""
	for _, name := range []string{"chromium-headless-shell", "chromium", "chromium-browser", "google-chrome"} {
		if found, err := exec.LookPath(name); err == nil {
			path = found
			break
		}
	}
	if path == "" {
		if os.Getenv("EVERHOP_TEST_REQUIRE") == "1" {
			t.Fatal("there is no Chromium; .ci/prepare installs it")
		}
		t.Skip("there is no Chromium (Debian: chromium-headless-shell)")
	}
	profile, err := os.MkdirTemp("", "everhop-browser-")
	if err != nil {
		t.Fatal(err)
	}
	toRead, in, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	out, toWrite, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(path, "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--hide-scrollbars",
		"--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage", "--password-store=basic",
		"--user-data-dir="+profile, "--remote-debugging-pipe", "about:blank")
	cmd.ExtraFiles = []*os.File{toRead, toWrite} // 3 and 4
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	toRead.Close()
	toWrite.Close()
	b := &browser{t: t, in: in, answers: map[int]chan answer{}, tabs: map[string]*tab{}}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		b.read(out)
	}()
	t.Cleanup(func() {
		in.Close() // it ends by itself
		stopped := time.AfterFunc(10*time.Second, func() { _ = cmd.Process.Kill() })
		_ = cmd.Wait()
		stopped.Stop()
		out.Close()
		<-ended
		_ = os.RemoveAll(profile)
	})
	return b
}

func (b *browser) read(out *os.File) {
	input := bufio.NewReaderSize(out, 1<<20)
	for {
		message, err := input.ReadBytes(0)
		if err != nil {
			b.mu.Lock()
			defer b.mu.Unlock()
			for _, c := range b.answers {
				close(c)
			}
			b.answers = nil
			return
		}
		var a answer
		if json.Unmarshal(message[:len(message)-1], &a) != nil {
			continue
		}
		b.mu.Lock()
		if c, ok := b.answers[a.ID]; ok && a.ID > 0 {
			c <- a
			delete(b.answers, a.ID)
		} else if tab, ok := b.tabs[a.SessionID]; ok {
			tab.see(a)
		}
		b.mu.Unlock()
	}
}

func (b *browser) call(session, method string, params map[string]any, result any) {
	b.t.Helper()
	b.mu.Lock()
	b.last++
	id, c := b.last, make(chan answer, 1)
	if b.answers == nil {
		b.mu.Unlock()
		b.t.Fatalf("%s: the browser is gone", method)
	}
	b.answers[id] = c
	b.mu.Unlock()
	message, err := json.Marshal(map[string]any{"id": id, "method": method, "params": params, "sessionId": session})
	if err != nil {
		b.t.Fatal(err)
	}
	if session == "" {
		message, _ = json.Marshal(map[string]any{"id": id, "method": method, "params": params})
	}
	if _, err := b.in.Write(append(message, 0)); err != nil {
		b.t.Fatalf("%s: %v", method, err)
	}
	select {
	case a, ok := <-c:
		if !ok {
			b.t.Fatalf("%s: the browser has ended", method)
		}
		if a.Error != nil {
			b.t.Fatalf("%s: %s", method, a.Error.Message)
		}
		if result != nil {
			if err := json.Unmarshal(a.Result, result); err != nil {
				b.t.Fatal(err)
			}
		}
	case <-time.After(patience):
		b.t.Fatalf("%s: no answer", method)
	}
}

// screen is what a tab is shown on.
type screen struct {
	width, height int
	dark          bool
}

// tab shows a page.
type tab struct {
	*browser
	t        *testing.T
	session  string
	target   string
	complain []string // what is in the console, but for what the network has to say
}

// open shows a page, until the test ends.
func (b *browser) open(t *testing.T, url string, s screen) *tab {
	t.Helper()
	var target struct {
		TargetID string `json:"targetId"`
	}
	b.call("", "Target.createTarget", map[string]any{"url": "about:blank"}, &target)
	var attached struct {
		SessionID string `json:"sessionId"`
	}
	b.call("", "Target.attachToTarget", map[string]any{"targetId": target.TargetID, "flatten": true}, &attached)
	p := &tab{browser: b, t: t, session: attached.SessionID, target: target.TargetID}
	b.mu.Lock()
	b.tabs[p.session] = p
	b.mu.Unlock()
	t.Cleanup(func() { b.call("", "Target.closeTarget", map[string]any{"targetId": p.target}, nil) })
	scheme := "light"
	if s.dark {
		scheme = "dark"
	}
	for method, params := range map[string]map[string]any{
		"Page.enable": nil, "Runtime.enable": nil, "Log.enable": nil,
		"Emulation.setDeviceMetricsOverride": {"width": s.width, "height": s.height, "deviceScaleFactor": 1, "mobile": s.width < 500},
		"Emulation.setEmulatedMedia":         {"features": []map[string]string{{"name": "prefers-color-scheme", "value": scheme}}},
	} {
		p.call(p.session, method, params, nil)
	}
	p.call(p.session, "Page.navigate", map[string]any{"url": url}, nil)
	return p
}

// see is called with what happens in the tab.
func (p *tab) see(a answer) {
	switch a.Method {
	case "Runtime.exceptionThrown":
		p.complain = append(p.complain, string(a.Params))
	case "Runtime.consoleAPICalled":
		p.complain = append(p.complain, string(a.Params))
	case "Log.entryAdded":
		if !strings.Contains(string(a.Params), `"source":"network"`) {
			p.complain = append(p.complain, string(a.Params))
		}
	}
}

// isQuiet checks that nothing was written to the console.
func (p *tab) isQuiet() {
	p.t.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, line := range p.complain {
		p.t.Errorf("the console says: %s", line)
	}
}

// eval returns what an expression is in the page.
func (p *tab) eval(expression string) any {
	p.t.Helper()
	var result struct {
		Result struct {
			Value any `json:"value"`
		} `json:"result"`
		Exception *struct {
			Text      string `json:"text"`
			Exception struct {
				Description string `json:"description"`
			} `json:"exception"`
		} `json:"exceptionDetails"`
	}
	p.call(p.session, "Runtime.evaluate", map[string]any{"expression": expression, "returnByValue": true, "awaitPromise": true}, &result)
	if e := result.Exception; e != nil {
		p.t.Fatalf("%s: %s %s", expression, e.Text, e.Exception.Description)
	}
	return result.Result.Value
}

func (p *tab) text(expression string) string {
	p.t.Helper()
	return fmt.Sprint(p.eval(expression))
}

// await waits until an expression is true in the page.
func (p *tab) await(what, expression string) {
	p.t.Helper()
	for end := time.Now().Add(patience); p.eval("Boolean("+expression+")") != true; time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			p.t.Fatalf("no %s; the page says:\n%.3000s", what, p.text("document.body.innerText"))
		}
	}
}

// press presses a key.
func (p *tab) press(key string, code int) {
	p.t.Helper()
	text := ""
	if key == "Enter" {
		text = "\r"
	}
	for _, kind := range []string{"keyDown", "keyUp"} {
		p.call(p.session, "Input.dispatchKeyEvent", map[string]any{"type": kind, "key": key, "code": key, "text": text, "windowsVirtualKeyCode": code}, nil)
		text = ""
	}
}

// picture writes what is to be seen into the directory that EVERHOP_TEST_SCREENSHOTS names, if it does.
func (p *tab) picture(name string) {
	p.t.Helper()
	directory := os.Getenv("EVERHOP_TEST_SCREENSHOTS")
	if directory == "" {
		return
	}
	var result struct {
		Data string `json:"data"`
	}
	p.call(p.session, "Page.captureScreenshot", map[string]any{"format": "png"}, &result)
	data, err := base64.StdEncoding.DecodeString(result.Data)
	if err == nil {
		err = os.MkdirAll(directory, 0o755)
	}
	if err == nil {
		data, err = smaller(data)
	}
	if err == nil {
		err = os.WriteFile(filepath.Join(directory, name+".png"), data, 0o644)
	}
	if err != nil {
		p.t.Error(err)
	}
}

// smaller has the 256 colours that are seen most. The others are the rims of letters.
func smaller(data []byte) ([]byte, error) {
	picture, err := png.Decode(bytes.NewReader(data))
	if err != nil {
		return nil, err
	}
	seen, area := map[color.Color]int{}, picture.Bounds()
	for y := area.Min.Y; y < area.Max.Y; y++ {
		for x := area.Min.X; x < area.Max.X; x++ {
			seen[picture.At(x, y)]++
		}
	}
	colours := slices.SortedFunc(maps.Keys(seen), func(a, b color.Color) int { return seen[b] - seen[a] })
	small := image.NewPaletted(area, colours[:min(len(colours), 256)])
	draw.Draw(small, area, picture, area.Min, draw.Src)
	var out bytes.Buffer
	err = (&png.Encoder{CompressionLevel: png.BestCompression}).Encode(&out, small)
	return out.Bytes(), err
}
