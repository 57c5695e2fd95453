package doctor

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/everhop/everhop/fsm/journal"
)

const (
	// fewFiles are too few for commands that run side by side, each with some pipes.
	fewFiles = 256
	// littleSpace is less than a journal takes with its usual retention.
	littleSpace = 256 << 20
)

// host looks at this machine.
func (c *clinic) host(ctx context.Context) {
	if c.Journal != "" {
		c.journal(ctx)
	}
	if c.Command != "" {
		c.command()
	}
	limit, err := c.fileLimit()
	switch {
	case err != nil:
		c.skip("file_limits", "", err.Error())
	case limit < fewFiles:
		c.warn("file_limits", "", fmt.Sprintf("%d open files", limit), "raise it: ulimit -n, LimitNOFILE of systemd; each command of --exec takes some")
	default:
		c.ok("file_limits", "", "%d open files", limit)
	}
}

// journal looks at the directory without changing a journal in it.
func (c *clinic) journal(ctx context.Context) {
	dir := c.Journal
	bad := func(text, advice string) { c.broken("journal", dir, text, advice) }
	info, err := os.Stat(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		above := filepath.Dir(filepath.Clean(dir))
		if err := writable(above); err != nil {
			bad(fmt.Sprintf("the directory does not exist, and cannot be made: %v", err), "make it, and let everhop's user write there")
			return
		}
		c.ok("journal", dir, "there is none yet; it will be made")
		return
	case err != nil:
		bad(err.Error(), "correct --journal, or the permissions of the directories above")
		return
	case !info.IsDir():
		bad("it is a file, and a journal is a directory", "name another place, or remove the file")
		return
	}
	if err := writable(dir); err != nil {
		bad(fmt.Sprintf("it cannot be written: %v", err), "let everhop's user write there, or mount it for writing")
		return
	}
	if holder := locked(filepath.Join(dir, "lock")); holder != "" {
		c.warn("journal", dir, "another process writes it: "+holder, "a journal has one writer: end that one first, or name another directory")
	}
	free, err := space(dir)
	if err == nil && free < littleSpace {
		c.warn("journal", dir, fmt.Sprintf("%d MiB are free there", free>>20), "make room: what cannot be written is missing in the journal")
	}
	events, err := readable(ctx, dir)
	var corrupt *journal.CorruptError
	switch {
	case errors.As(err, &corrupt) && corrupt.Torn:
		c.warn("journal", dir, "its last line is torn, as a crash leaves it: "+err.Error(), "nothing needs to be done, the next writer sets it aside; or everhop verify --repair")
	case errors.Is(err, errNotRead):
		c.warn("journal", dir, fmt.Sprintf("writable; only %d events could be read in time", events), "raise --timeout, or use everhop verify")
	case err != nil:
		bad("it is damaged: "+err.Error(), "keep it for later, and name another directory; everhop verify and replay tell what is right in it")
	default:
		c.ok("journal", dir, "writable, %d events, all right", events)
	}
}

// errNotRead ends the reading of a journal.
var errNotRead = errors.New("there was no time to read all")

// readable reads the whole journal, if there is one.
func readable(ctx context.Context, dir string) (events int, err error) {
	segments, err := filepath.Glob(filepath.Join(dir, "*.jsonl"))
	if err != nil || len(segments) == 0 {
		return 0, err
	}
	for _, err := range journal.Records(dir) {
		if err != nil {
			return events, err
		}
		if ctx.Err() != nil {
			return events, errNotRead
		}
		events++
	}
	return events, nil
}

// writable makes a file, and removes it.
func writable(dir string) error {
	file, err := os.CreateTemp(dir, ".everhop-doctor-")
	if err != nil {
		var path *fs.PathError
		if errors.As(err, &path) {
			return path.Err
		}
		return err
	}
	_, err = file.WriteString("x")
	return errors.Join(err, file.Close(), os.Remove(file.Name()))
}

// command looks whether a command can be started.
func (c *clinic) command() {
	if err := c.CheckCommand(c.Command); err != nil {
		c.broken("command", "", strings.TrimPrefix(err.Error(), "--exec: "), "correct the command, or its permissions (chmod +x), or PATH")
		return
	}
	program := c.Program(c.Command)
	if program == "" {
		c.ok("command", "", "the shell runs it; what is in it is not known")
		return
	}
	interpreter, err := interpreterOf(program)
	switch {
	case err != nil:
		c.broken("command", program, err.Error(), "correct its first line, or install the interpreter")
	case interpreter != "":
		c.ok("command", program, "a script for %s", interpreter)
	default:
		c.ok("command", program, "it is there, and may be run")
	}
}

// interpreterOf is what a script's first line names, "" if it is no script.
func interpreterOf(program string) (string, error) {
	file, err := os.Open(program)
	if err != nil {
		return "", nil // it may be run without being read
	}
	defer file.Close()
	const most = 256 // as Linux reads
	line, _ := bufio.NewReaderSize(file, most).ReadSlice('\n')
	rest, script := strings.CutPrefix(string(line), "#!")
	if !script {
		return "", nil
	}
	if strings.HasSuffix(rest, "\r\n") {
		return "", errors.New("its first line ends with CR LF, and no interpreter has a CR in its name")
	}
	words := strings.Fields(rest)
	if len(words) == 0 {
		return "", errors.New("its first line names no interpreter")
	}
	if _, err := exec.LookPath(words[0]); err != nil {
		return "", fmt.Errorf("its interpreter %s is not there, or cannot be run", words[0])
	}
	if filepath.Base(words[0]) == "env" && len(words) == 2 && !strings.HasPrefix(words[1], "-") {
		if _, err := exec.LookPath(words[1]); err != nil {
			return "", fmt.Errorf("its interpreter %s is not in PATH", words[1])
		}
		return words[1], nil
	}
	return words[0], nil
}
