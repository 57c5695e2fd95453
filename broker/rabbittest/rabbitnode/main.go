// Rabbitnode runs a command beside a private RabbitMQ node, with EVERHOP_URL set to it, and ends the
// node when the command has ended:
//
//	go run ./broker/rabbittest/rabbitnode everhop consume --declare --queue hello
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"syscall"

	"github.com/everhop/everhop/broker/rabbittest"
)

func main() {
	code, err := run(os.Args[1:])
	if err != nil {
		fmt.Fprintln(os.Stderr, "rabbitnode:", err)
	}
	os.Exit(code)
}

func run(command []string) (code int, err error) {
	if len(command) == 0 {
		return 2, errors.New("usage: rabbitnode COMMAND [ARGUMENT ...]")
	}
	node, err := rabbittest.Start(context.Background())
	if err != nil {
		return 1, err
	}
	defer func() { err = errors.Join(err, node.Stop()) }()

	// The command's to answer. They are not ignored, since the command would inherit that.
	signal.Notify(make(chan os.Signal, 1), os.Interrupt, syscall.SIGTERM)
	child := exec.Command(command[0], command[1:]...)
	child.Stdin, child.Stdout, child.Stderr = os.Stdin, os.Stdout, os.Stderr
	child.Env = append(os.Environ(), "EVERHOP_URL="+node.URL())
	if err := child.Run(); err != nil {
		return max(1, child.ProcessState.ExitCode()), err
	}
	return 0, nil
}
