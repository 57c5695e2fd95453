package term

import (
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// What a terminal would obey, or what makes text look like other text, and what is shown in its place.
var hostile = []struct{ name, text, want string }{
	{"nothing", "", ""},
	{"letters of all kinds", `Grüße, 世界 😀 "\n" €`, `Grüße, 世界 😀 "\n" €`},
	{"ESC", "a\x1bcb", `a\x1bcb`},
	{"CSI", "a\x1b[2J\x1b[31mb", `a\x1b[2J\x1b[31mb`},
	{"OSC", "\x1b]0;title\x07\x1b]52;c;cHduZWQ=\x1b\\", `\x1b]0;title\a\x1b]52;c;cHduZWQ=\x1b\`},
	{"C1 controls", "\u009b31m\u009d0;x\u009c\u0085", `\u009b31m\u009d0;x\u009c\u0085`},
	{"C1 controls, each a byte", "\x9b31m", `\x9b31m`},
	{"other controls", "\x00\a\b\t\v\f\r\x7f", `\x00\a\b\t\v\f\r\u007f`},
	{"newlines", "a\nb\r\n\u2028\u2029", `a\nb\r\n\u2028\u2029`},
	{"bidi", "a\u202egpj.exe\u202c\u2066x\u2069\u200f\u061c", `a\u202egpj.exe\u202c\u2066x\u2069\u200f\u061c`},
	{"without width", "pass\u200bword\ufeff\u00ad", `pass\u200bword\ufeff\u00ad`},
	{"tags", "\U000e0041", `\udb40\udc41`},
	{"invalid UTF-8", "a\xff\xc3(\xe2\x82", `a\xff\xc3(\xe2\x82`},
	{"surrogates in UTF-8", "\xed\xa0\x80", `\xed\xa0\x80`},
	{"the replacement character itself", "\ufffd", "\ufffd"},
}

func TestClean(t *testing.T) {
	for _, tt := range hostile {
		got := Clean(tt.text)
		if got != tt.want {
			t.Errorf("%s: %q, want %q", tt.name, got, tt.want)
		}
		if again := Clean(got); again != got {
			t.Errorf("%s: clean, it is %q, and not %q", tt.name, again, got)
		}
	}
}

// Everything that takes text from outside cleans it, painted or not.
func TestTextIsClean(t *testing.T) {
	for _, tt := range hostile {
		for name, got := range map[string]Text{"Plain": Plain(tt.text), "Paint": Ink(false).Paint(tt.text, Red), "Paint, no style": Ink(true).Paint(tt.text, "")} {
			if string(got) != tt.want {
				t.Errorf("%s: %s: %q, want %q", tt.name, name, got, tt.want)
			}
		}
		if got := Ink(true).Paint(tt.text, Bold, "", Red); tt.text != "" && string(got) != "\x1b[1;31m"+tt.want+"\x1b[0m" {
			t.Errorf("%s: painted: %q", tt.name, got)
		}
	}
}

// To a terminal, bytes are written clean, but in lines; elsewhere as they are.
func TestOutputWrite(t *testing.T) {
	for _, tt := range hostile {
		var screen, pipe strings.Builder
		for _, out := range []*Output{{&screen, &screen, true}, {&pipe, &pipe, false}} {
			gathered, flush := out.Gathered(100)
			for _, w := range []io.Writer{out, out.Coloured(), gathered} {
				if n, err := io.WriteString(w, tt.text+"\n\t."); n != len(tt.text)+3 || err != nil {
					t.Errorf("%s: %d, %v", tt.name, n, err)
				}
			}
			if err := flush(); err != nil {
				t.Error(err)
			}
		}
		if got, want := pipe.String(), strings.Repeat(tt.text+"\n\t.", 3); got != want {
			t.Errorf("%s: a pipe gets %q", tt.name, got)
		}
		shown := clean(tt.text, "\n\t") + "\n\t."
		if strings.ContainsAny(shown, "\x00\x1b\r\u009b\u202e") {
			t.Errorf("%s: not clean: %q", tt.name, shown)
		}
		coloured := strings.ReplaceAll(shown, `\x1b[31m`, "\x1b[31m")
		if got, want := screen.String(), shown+coloured+shown; got != want {
			t.Errorf("%s: a terminal gets %q, want %q", tt.name, got, want)
		}
	}
}

// What is clean of JSON is the same JSON.
func TestOutputWriteJSON(t *testing.T) {
	for _, tt := range hostile {
		line, err := json.Marshal(tt.text)
		if err != nil {
			t.Fatal(err)
		}
		var before, after string
		if err := errors.Join(json.Unmarshal(line, &before), json.Unmarshal([]byte(clean(string(line), "\n\t")), &after)); err != nil || before != after {
			t.Errorf("%s: %v; %q, clean it is %q", tt.name, err, before, after)
		}
	}
}

// Nothing that everhop is made of makes text harmless by saying so, or writes past an Output.
func TestNobodyCheats(t *testing.T) {
	cheats := map[string]*regexp.Regexp{
		"converts a string to Text":    regexp.MustCompile(`\bterm\.Text\(`),
		"has a control sequence":       regexp.MustCompile(`\\x1b|\\033|\\u001b|\\e\[`),
		"writes to os.Stdout":          regexp.MustCompile(`\bos\.Std(out|err)\b`),
		"prints to standard output":    regexp.MustCompile(`\bfmt\.Print|[^.\w]println?\(`),
		"looks at terminals by itself": regexp.MustCompile(`isatty|TIOCGWINSZ|"(TERM|NO_COLOR)"`),
	}
	files := 0
	err := filepath.WalkDir("../..", func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && d.Name() == "term":
			return fs.SkipDir
		case filepath.Ext(path) != ".go" || strings.HasSuffix(path, "_test.go"):
			return nil
		}
		files++
		text, err := os.ReadFile(path)
		for what, cheat := range cheats {
			if what == "writes to os.Stdout" && filepath.Base(path) == "main.go" {
				continue // it hands them over
			}
			if line := cheat.Find(text); line != nil {
				t.Errorf("%s %s: %s", path, what, line)
			}
		}
		return err
	})
	if err != nil || files < 30 {
		t.Errorf("%d files, %v", files, err)
	}
}
