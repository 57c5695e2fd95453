package term

import (
	"errors"
	"os"
	"regexp"
	"sync"
	"time"

	xterm "golang.org/x/term"
)

// Screen is a whole terminal: what it showed comes back when it is left.
type Screen struct {
	out    *Output
	tty    *os.File // keys come from there
	before *xterm.State
	keys   chan Key
	done   chan struct{}
	reader sync.WaitGroup
	leave  sync.Once
}

// TakeOver shows nothing but what is drawn from now on, and takes the keys, those that would send signals among them.
// Leave must be called.
func (o *Output) TakeOver() (*Screen, error) {
	tty, err := keyboard()
	if err != nil {
		return nil, err
	}
	var before *xterm.State
	if err := control(tty, func(fd int) (err error) { before, err = xterm.MakeRaw(fd); return err }); err != nil {
		return nil, errors.Join(err, closeKeyboard(tty))
	}
	s := &Screen{out: o, tty: tty, before: before, keys: make(chan Key), done: make(chan struct{})}
	if err := o.Print(otherScreen + HideCursor); err != nil {
		s.Leave()
		return nil, err
	}
	s.reader.Go(s.read)
	return s, nil
}

// control does not ask for the file's Fd, after which reading could not be ended.
func control(tty *os.File, do func(fd int) error) error {
	conn, err := tty.SyscallConn()
	if err != nil {
		return err
	}
	var failed error
	err = conn.Control(func(fd uintptr) { failed = do(int(fd)) })
	return errors.Join(err, failed)
}

// keyboard is the terminal that controls the process, also if its standard input is another file.
func keyboard() (*os.File, error) {
	tty, err := os.OpenFile("/dev/tty", os.O_RDWR, 0)
	if err != nil && xterm.IsTerminal(int(os.Stdin.Fd())) { // Windows has none
		return os.Stdin, nil
	}
	return tty, err
}

func closeKeyboard(tty *os.File) error {
	if tty == os.Stdin {
		return nil
	}
	return tty.Close()
}

// Key is a letter, or one of those below.
type Key string

// Keys that are no letters.
const (
	KeyUp        Key = "up"
	KeyDown      Key = "down"
	KeyPageUp    Key = "page up"
	KeyPageDown  Key = "page down"
	KeyHome      Key = "home"
	KeyInterrupt Key = "interrupt" // Ctrl-C, which is no signal here
)

// sequences are what terminals send for them.
var sequences = map[string]Key{
	"\x1b[A": KeyUp, "\x1bOA": KeyUp, "\x1b[B": KeyDown, "\x1bOB": KeyDown, "\x1b[5~": KeyPageUp, "\x1b[6~": KeyPageDown,
	"\x1b[H": KeyHome, "\x1bOH": KeyHome, "\x1b[1~": KeyHome, "\x03": KeyInterrupt,
}

var keysIn = regexp.MustCompile(`(?s)\x1b\[[0-9;]*[@-~]|\x1bO.|.`)

// Keys are what is typed.
func (s *Screen) Keys() <-chan Key { return s.keys }

func (s *Screen) read() {
	buffer := make([]byte, 256) // a key's sequence comes in one piece, and who types fast may have several in one
	for {
		n, err := s.tty.Read(buffer)
		if err != nil {
			return
		}
		for _, typed := range keysIn.FindAllString(string(buffer[:n]), -1) {
			key, ok := sequences[typed]
			if !ok {
				key = Key(typed)
			}
			select {
			case s.keys <- key:
			case <-s.done:
				return
			}
		}
	}
}

// Draw shows lines from the top, and nothing else, all in one piece so that nobody sees half of it.
func (s *Screen) Draw(lines []Text) error {
	text := CutLines + home
	for i, line := range lines {
		if i > 0 {
			text += "\r\n" // nobody puts a \r there while keys are taken
		}
		text += line + EraseLine
	}
	return s.out.Print(text + EraseBelow)
}

// Leave gives the terminal back as it was. It may be called several times.
func (s *Screen) Leave() {
	s.leave.Do(func() {
		close(s.done)
		_ = s.out.Print(WrapLines + ShowCursor + firstScreen)
		_ = control(s.tty, func(fd int) error { return xterm.Restore(fd, s.before) })
		if s.tty.SetReadDeadline(time.Now()) == nil { // where there is none, reading ends with the process
			s.reader.Wait()
		}
		_ = closeKeyboard(s.tty)
	})
}

// LeaveOnPanic is to be deferred by every goroutine that works for a screen, which may be nil.
func (s *Screen) LeaveOnPanic() {
	if p := recover(); p != nil {
		if s != nil {
			s.Leave()
		}
		panic(p)
	}
}
