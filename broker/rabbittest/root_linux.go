package rabbittest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
)

// home is where the folder of a node is seen in a root.
const home = "/node"

// within runs a command in a root, which has what it needs mounted.
const within = `
root=$1 dir=$2; shift 2
mount -t proc proc "$root/proc" && mount --rbind /dev "$root/dev" && mount --bind /etc/hosts "$root/etc/hosts" &&
mount --bind "$dir" "$root` + home + `" && exec chroot "$root" "$@"
`

// enter is a command in a root, in the environment of a node.
func enter(root string, l layout, tool string, args ...string) *exec.Cmd {
	cmd := exec.Command("sh", append([]string{"-c", within, "rabbittest-root", root, l.dir, tool}, args...)...)
	cmd.Dir = "/" // as it is in the root
	cmd.Env = append(l.environ(home), "PATH=/usr/lib/rabbitmq/bin:/usr/sbin:/usr/bin:/sbin:/bin", "TMPDIR="+home, "LANG=C.UTF-8")
	cmd.SysProcAttr = apart()
	return cmd
}

// apart gives a command namespaces of its own, for processes, so that none outlives it, and for mounts, so that
// none is left.
func apart() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Cloneflags: syscall.CLONE_NEWPID, Unshareflags: syscall.CLONE_NEWNS}
}

// makeRoot makes a root, unless it is there. Of several processes that want it, one makes it.
func makeRoot(ctx context.Context, root, suite string) error {
	if os.Geteuid() != 0 {
		return errNotRoot
	}
	if err := os.MkdirAll(filepath.Dir(root), 0o755); err != nil {
		return err
	}
	lock, err := os.OpenFile(root+".lock", os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return err
	}
	defer lock.Close()
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX); err != nil {
		return fmt.Errorf("%s: %w", lock.Name(), err)
	}
	if _, err := os.Stat(root); err == nil {
		return nil
	}
	partial := root + ".partial"
	if err := os.RemoveAll(partial); err != nil { // somebody was killed while at it
		return err
	}
	if err := debootstrap(ctx, partial, suite); err != nil {
		return errors.Join(err, os.RemoveAll(partial))
	}
	return os.Rename(partial, root)
}

func debootstrap(ctx context.Context, root, suite string) error {
	tool, err := exec.LookPath("debootstrap")
	if err != nil {
		return errors.New("debootstrap is missing: apt-get install debootstrap")
	}
	from := mirror()
	fmt.Fprintf(os.Stderr, "rabbittest: making %s from %s, which takes a minute or two\n", strings.TrimSuffix(root, ".partial"), from)
	const script = `mount -t proc proc /proc && exec "$@"` // of the namespace
	cmd := exec.Command("sh", "-c", script, "rabbittest-root",
		tool, "--variant=minbase", "--include=rabbitmq-server,procps", suite, root, from)
	cmd.Dir = "/"
	cmd.Env = append(os.Environ(), "LANG=C.UTF-8", "DEBIAN_FRONTEND=noninteractive")
	cmd.SysProcAttr = apart()
	cmd.SysProcAttr.Pdeathsig = syscall.SIGKILL // it ends with this thread, which this function keeps
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if _, err := output(ctx, cmd); err != nil {
		return fmt.Errorf("debootstrap %s from %s: %w", suite, from, lastLines(err))
	}
	// The packages that came are of no use any more.
	archives, err := filepath.Glob(filepath.Join(root, "var/cache/apt/archives/*.deb"))
	if err != nil {
		return err
	}
	for _, archive := range archives {
		if err := os.Remove(archive); err != nil {
			return err
		}
	}
	// What a node needs is mounted over these.
	return errors.Join(os.WriteFile(filepath.Join(root, "etc/hosts"), nil, 0o644), os.Mkdir(filepath.Join(root, home), 0o755))
}

// lastLines spares the reader the hundred packages that came before the error.
func lastLines(err error) error {
	lines := strings.Split(strings.TrimSpace(err.Error()), "\n")
	if len(lines) < 12 || errors.Is(err, os.ErrPermission) {
		return err
	}
	return fmt.Errorf("%s\n...\n%s", lines[0], strings.Join(lines[len(lines)-10:], "\n"))
}
