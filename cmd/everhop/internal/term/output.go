package term

import (
	"bufio"
	"io"
	"os"
	"regexp"

	xterm "golang.org/x/term"
)

// Output is standard output or standard error. What is not a terminal gets the bytes that are written, as they
// are. Its methods may be called as those of the writer below may.
type Output struct {
	w        io.Writer
	behind   io.Writer
	terminal bool
}

// To writes to w, which is a terminal if what it is [Behind] is one.
func To(w io.Writer) *Output {
	if o, ok := w.(*Output); ok {
		return o
	}
	return &Output{w, Behind(w), IsTerminal(w)}
}

// Write writes bytes from anywhere. A terminal gets them clean, but for newlines and tabs; no character should
// be in two writes.
func (o *Output) Write(p []byte) (int, error) {
	if !o.terminal {
		return o.w.Write(p)
	}
	if _, err := io.WriteString(o.w, clean(string(p), "\n\t")); err != nil {
		return 0, err
	}
	return len(p), nil
}

// Print writes text as it is.
func (o *Output) Print(text Text) error {
	_, err := io.WriteString(o.w, string(text))
	return err
}

// Gathered is the same place, but what is written is gathered, up to so many bytes or until flush is called. Once an
// error has come, nothing more is written.
func (o *Output) Gathered(size int) (gathered *Output, flush func() error) {
	buffer := bufio.NewWriterSize(o.w, size)
	return &Output{buffer, o.behind, o.terminal}, buffer.Flush
}

// Coloured is a writer to the same place, which lets colours pass, whoever they are of.
func (o *Output) Coloured() io.Writer { return coloured{o} }

type coloured struct{ *Output }

var colours = regexp.MustCompile("\x1b\\[[0-9;]*m")

func (c coloured) Write(p []byte) (int, error) {
	if !c.terminal {
		return c.w.Write(p)
	}
	var text Text
	rest := p
	for _, found := range colours.FindAllIndex(p, -1) {
		begin := len(p) - len(rest)
		text += Text(clean(string(p[begin:found[0]]), "\n\t")) + Text(p[found[0]:found[1]])
		rest = p[found[1]:]
	}
	if err := c.Print(text + Text(clean(string(rest), "\n\t"))); err != nil {
		return 0, err
	}
	return len(p), nil
}

// Unwrap is the writer below.
func (o *Output) Unwrap() io.Writer { return o.w }

// IsTerminal tells whether somebody is watching.
func (o *Output) IsTerminal() bool { return o.terminal }

// Redraws tells whether what was written can be written over: it is a terminal that knows control sequences.
func (o *Output) Redraws() bool {
	kind := os.Getenv("TERM")
	return o.terminal && kind != "" && kind != "dumb"
}

// Ink paints where it is to be seen, and wanted: NO_COLOR is honoured.
func (o *Output) Ink() Ink { return Ink(o.Redraws() && os.Getenv("NO_COLOR") == "") }

// usualWidth and usualHeight are those of a terminal that does not say.
const (
	usualWidth  = 80
	usualHeight = 24
)

// Width is how many columns a terminal has; 0 if it is none.
func (o *Output) Width() int {
	width, _ := o.Size()
	return width
}

// Size is how many columns and lines a terminal has; 0 if it is none.
func (o *Output) Size() (width, height int) {
	file, ok := o.behind.(*os.File)
	if !o.terminal || !ok {
		return 0, 0
	}
	width, height, err := xterm.GetSize(int(file.Fd()))
	if err != nil || width <= 0 {
		width = usualWidth
	}
	if err != nil || height <= 0 {
		height = usualHeight
	}
	return width, height
}

// IsTerminal tells whether w is a terminal in the end.
func IsTerminal(w io.Writer) bool {
	file, ok := Behind(w).(*os.File)
	return ok && xterm.IsTerminal(int(file.Fd()))
}

// Behind is what is written to in the end: below w, there is what its method Unwrap returns. It cleans nothing,
// and is for what has to be a file: to be inherited by a command, or to be watched.
func Behind(w io.Writer) io.Writer {
	for below := Below(w); below != nil; below = Below(w) {
		w = below
	}
	return w
}

// Below is the writer that w passes on to, nil if it is the last one.
func Below(w io.Writer) io.Writer {
	if wrapper, ok := w.(interface{ Unwrap() io.Writer }); ok {
		return wrapper.Unwrap()
	}
	return nil
}
