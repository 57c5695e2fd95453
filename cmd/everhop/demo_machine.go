package main

import (
	"os"
	"regexp"
	"strings"

	"github.com/everhop/everhop/consumer"
	"github.com/everhop/everhop/fsm"
)

// machineDrawing shows the five states and the main ways between them.
const machineDrawing = `
 {Disconnected} ──► {Connecting} ──► {Consuming} ◄──► {HeartbeatCheck}
                                      ▲ ▼                   │
                                   {Reviving} ◄─────────────┘`

// machineASCII is the same for terminals that cannot show that.
const machineASCII = `
 {Disconnected} --> {Connecting} --> {Consuming} <--> {HeartbeatCheck}
                                      ^ v                   |
                                   {Reviving} <-------------+`

// machineColumns is how wide they are.
const machineColumns = 70

// colours of the states.
var colours = map[fsm.State]string{
	consumer.Disconnected:   grey,
	consumer.Connecting:     cyan,
	consumer.Consuming:      green,
	consumer.HeartbeatCheck: yellow,
	consumer.Reviving:       red,
}

var stateInDrawing = regexp.MustCompile(`\{\w+\}`)

// drawMachine draws the states. The current one is in brackets, so that it can be told without colours; the
// others have room for them, so that nothing moves.
func drawMachine(drawing string, current fsm.State, ink ink) []string {
	lines := strings.Split(strings.TrimPrefix(drawing, "\n"), "\n")
	for i, line := range lines {
		painted, end := "", 0
		for _, at := range stateInDrawing.FindAllStringIndex(line, -1) {
			painted += ink.paint(line[end:at[0]], grey)
			state := fsm.State(line[at[0]+1 : at[1]-1])
			if state == current {
				painted += ink.paint("["+string(state)+"]", bold, colours[state])
			} else {
				painted += " " + string(state) + " "
			}
			end = at[1]
		}
		lines[i] = strings.TrimRight(painted+ink.paint(line[end:], grey), " ")
	}
	return lines
}

// machineOf is the drawing that the terminal can show, by the variable that decides the locale.
func machineOf(getenv func(string) string) string {
	for _, variable := range []string{"LC_ALL", "LC_CTYPE", "LANG"} {
		if locale := strings.ToUpper(getenv(variable)); locale != "" {
			if strings.Contains(locale, "UTF-8") || strings.Contains(locale, "UTF8") {
				return machineDrawing
			}
			break
		}
	}
	return machineASCII
}

// machineHere is that of this process.
func machineHere() string { return machineOf(os.Getenv) }
