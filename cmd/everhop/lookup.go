package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os/exec"
	"regexp"
	"runtime"
	"strings"
)

// checkCommand tells why no command can be started: there is no shell or, if the line is one plain command, no such
// program. When in doubt there is: only the shell knows what a line means.
func checkCommand(line string) error {
	shell, err := exec.LookPath(shellName)
	if err != nil {
		return fmt.Errorf("--exec: there is no shell %q: %w", shellName, cause(err))
	}
	program := plainProgram(line)
	switch {
	case program == "", runtime.GOOS == "windows": // where a program's name is not the file's
		return nil
	case strings.Contains(program, "/"):
		if _, err := exec.LookPath(program); err != nil {
			return fmt.Errorf("--exec: %s: %w", program, cause(err))
		}
		return nil
	}
	err = exec.Command(shell, "-c", `command -v "$1"`, shellName, program).Run() // it may be one of its own
	switch {
	case err == nil:
		return nil
	case errors.As(err, new(*exec.ExitError)):
		return fmt.Errorf("--exec: %s: not found in PATH, and none of the shell's own commands", program)
	}
	return fmt.Errorf("--exec: the shell %s cannot be started: %w", shell, cause(err))
}

// shellName is the shell that runs commands.
const shellName = "sh"

// plain is a line that begins with the name of a program and has nothing behind which another one could begin.
var plain = regexp.MustCompile(`^[ \t]*([\w./][\w./+@:,-]*)(?:[ \t](?:[^;&|()\n\r]|>&[\d-])*)?$`)

// plainProgram is the program that a line runs, if that is plain.
func plainProgram(line string) string {
	if found := plain.FindStringSubmatch(line); found != nil {
		return found[1]
	}
	return ""
}

// bare is a line of words that mean to a shell what they say.
var bare = regexp.MustCompile(`^[ \t]*[\w./][\w./+@:,-]*(?:[ \t]+[\w./+@:,%=-]+)*[ \t]*$`)

// directly are the words of a line, if a shell would do nothing but run a program with them; nil if it might.
func directly(line string) []string {
	if runtime.GOOS == "windows" || !bare.MatchString(line) {
		return nil
	}
	words := strings.Fields(line)
	if strings.Contains(words[0], "/") {
		return words
	}
	where, err := exec.Command(shellName, "-c", `command -v "$1"`, shellName, words[0]).Output()
	if err != nil || !strings.HasPrefix(string(where), "/") { // one of the shell's own
		return nil
	}
	return words
}

// cause is what is behind the words of package os/exec.
func cause(err error) error {
	var file *fs.PathError
	if errors.As(err, &file) {
		return file.Err
	}
	var search *exec.Error
	if errors.As(err, &search) {
		return search.Err
	}
	return err
}
