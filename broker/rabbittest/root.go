package rabbittest

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// cacheEnv names the folder of the roots, if it is not to be the user's cache folder.
const cacheEnv = "EVERHOP_TEST_CACHE"

// suites are the releases of Debian that have a version of RabbitMQ. Unstable moves on: it is taken for the
// newest version, whichever that is by now, and a node says itself which it is.
var suites = map[string]string{
	"3.10": "bookworm",
	"4.0":  "trixie",
	"4.3":  "sid",
}

// findInRoot finds a version in a root: a folder with a small Debian that has it, which debootstrap makes once.
// Only the node runs there, and the tools that talk to it.
func findInRoot(ctx context.Context, version string) (installation, error) {
	suite := suites[version]
	if suite == "" {
		return installation{}, fmt.Errorf("rabbittest: no RabbitMQ %q is known that Debian has", version)
	}
	cache, err := cacheFolder()
	if err != nil {
		return installation{}, err
	}
	root := filepath.Join(cache, "rabbitmq-"+version)
	if err := makeRoot(ctx, root, suite); err != nil {
		return installation{}, missing(version, err)
	}
	tools, err := findTools(func(file string) (string, error) { return lookIn(root, file) })
	if err != nil {
		return installation{}, fmt.Errorf("%w\n(in %s: remove it, and it is made again)", err, root)
	}
	tools.root = root
	if _, err := output(ctx, tools.command(layout{dir: cache}, "true")); err != nil {
		return installation{}, missing(version, fmt.Errorf("nothing can be run in %s: %w", root, err))
	}
	return tools, nil
}

// missing says that a version cannot be had, and why.
func missing(version string, err error) error {
	if errors.Is(err, os.ErrPermission) {
		err = fmt.Errorf("%w (it needs namespaces and mounts: in a container, --privileged)", err)
	}
	return &missingError{fmt.Errorf("rabbittest: RabbitMQ %s is not installed, and cannot be had in a root of its own: %w", version, err)}
}

type missingError struct{ error }

func (e *missingError) Unwrap() []error { return []error{ErrNotInstalled, e.error} }

func cacheFolder() (string, error) {
	if folder := os.Getenv(cacheEnv); folder != "" {
		return filepath.Abs(folder)
	}
	user, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("rabbittest: %w: set %s", err, cacheEnv)
	}
	return filepath.Join(user, "everhop"), nil
}

// lookIn is exec.LookPath for a root, in which links may lead anywhere.
func lookIn(root, file string) (string, error) {
	candidates := []string{file}
	if !filepath.IsAbs(file) {
		candidates = []string{filepath.Join("/usr/sbin", file), filepath.Join("/usr/bin", file)}
	}
	for _, candidate := range candidates {
		if _, err := os.Lstat(filepath.Join(root, candidate)); err == nil {
			return candidate, nil
		}
	}
	return "", fmt.Errorf("%s: %w", file, os.ErrNotExist)
}

// defaultMirror is the one for machines whose own packages are not Debian's.
const defaultMirror = "http://deb.debian.org/debian"

// mirror is where the machine gets its own packages from, if it is a Debian.
func mirror() string {
	var candidates []string
	for _, pattern := range []string{"/etc/apt/sources.list", "/etc/apt/sources.list.d/*.list", "/etc/apt/sources.list.d/*.sources"} {
		files, _ := filepath.Glob(pattern) // fails for a bad pattern only
		for _, file := range files {
			if text, err := os.ReadFile(file); err == nil {
				candidates = append(candidates, mirrors(string(text))...)
			}
		}
	}
	return chooseMirror(candidates)
}

func chooseMirror(candidates []string) string {
	debian := func(uri string) bool { return strings.HasSuffix(strings.TrimSuffix(uri, "/"), "/debian") }
	if i := slices.IndexFunc(candidates, debian); i >= 0 {
		return candidates[i]
	}
	return defaultMirror
}

// mirrors are the URIs in a file of apt's sources, in the format of one line each or in that of paragraphs.
func mirrors(text string) (uris []string) {
	lines := bufio.NewScanner(strings.NewReader(text))
	for lines.Scan() {
		words := strings.Fields(lines.Text())
		if len(words) < 2 || words[0] != "deb" && words[0] != "URIs:" {
			continue
		}
		for _, word := range words[1:] {
			if strings.Contains(word, "://") {
				uris = append(uris, word)
			}
		}
	}
	return uris
}

var errNotRoot = errors.New("only root may do that: run the tests as root")
