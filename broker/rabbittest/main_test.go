package rabbittest

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/goleak"
)

// helperEnv makes the test binary start a node, print its endpoint and folder, and
// wait to be killed.
const helperEnv = "RABBITTEST_HELPER"

func TestMain(m *testing.M) {
	if os.Getenv(helperEnv) != "" {
		node, err := Start(context.Background())
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		fmt.Println(node.Addr(), node.dir)
		select {}
	}
	Main(m, func() error { return goleak.Find() })
}

func TestNodeDiesWithItsProcess(t *testing.T) {
	NeedsControl(t)
	helper := exec.Command(os.Args[0])
	helper.Env = append(os.Environ(), helperEnv+"=1")
	helper.Stderr = os.Stderr
	output, err := helper.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := helper.Start(); err != nil {
		t.Fatal(err)
	}
	line, readErr := bufio.NewReader(output).ReadString('\n')
	if err := helper.Process.Kill(); err != nil {
		t.Error(err)
	}
	helper.Wait() // says that it was killed
	addr, dir, ok := strings.Cut(strings.TrimSpace(line), " ")
	helpers := &Node{layout: layout{addr: addr, dir: dir, cluster: []string{filepath.Base(dir) + "@localhost"}}}
	if readErr != nil || !ok {
		t.Fatalf("the helper printed %q: %v", line, readErr)
	}
	Eventually(t, patience, "the node is gone", func() bool {
		_, err := helpers.greet(t.Context())
		return err != nil
	})
	Eventually(t, patience, "its folder is gone", func() bool {
		_, err := os.Stat(dir)
		return os.IsNotExist(err)
	})
}
