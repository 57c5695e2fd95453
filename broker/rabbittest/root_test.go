package rabbittest

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
)

func TestMirrors(t *testing.T) {
	const paragraphs = `Types: deb
# URIs: http://commented.test/debian
URIs: http://mirror.test/debian https://second.test/debian/
Suites: bookworm
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg
`
	const lines = `# deb http://commented.test/debian bookworm main
deb-src http://sources.test/debian bookworm main
deb [arch=amd64 signed-by=/usr/share/keyrings/one.gpg] http://mirror.test/debian bookworm main
deb cdrom:[Debian]/ bookworm main
`
	for text, want := range map[string][]string{
		paragraphs: {"http://mirror.test/debian", "https://second.test/debian/"},
		lines:      {"http://mirror.test/debian"},
		"":         nil,
	} {
		if got := mirrors(text); !slices.Equal(got, want) {
			t.Errorf("mirrors of\n%s\n%q, want %q", text, got, want)
		}
	}
	if got := chooseMirror([]string{"https://other.test/ubuntu", "http://mirror.test/debian"}); got != "http://mirror.test/debian" {
		t.Errorf("chosen: %s", got)
	}
	if got := chooseMirror([]string{"https://other.test/ubuntu"}); got != defaultMirror {
		t.Errorf("without a Debian: %s", got)
	}
}

// play puts a program in the place of debootstrap, which is called as that is: OPTION... SUITE ROOT MIRROR.
func play(t *testing.T, script string) (cache string) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root, as what is tested does")
	}
	cache = t.TempDir()
	t.Setenv(cacheEnv, cache)
	bin := t.TempDir()
	if script != "" {
		must(t, os.WriteFile(filepath.Join(bin, "debootstrap"), []byte("#!/bin/sh\n"+script), 0o700))
		bin += ":" + os.Getenv("PATH")
	}
	t.Setenv("PATH", bin)
	return cache
}

func wantMissing(t *testing.T, version, why string) {
	t.Helper()
	_, err := findInRoot(t.Context(), version)
	if !errors.Is(err, ErrNotInstalled) || !strings.Contains(err.Error(), version) || !strings.Contains(err.Error(), why) {
		t.Errorf("error = %v, want %s and %q", err, version, why)
	}
}

func TestRootWithoutDebootstrap(t *testing.T) {
	play(t, "")
	wantMissing(t, "4.0", "apt-get install debootstrap")
}

// A machine without a network leaves nothing behind, and says why.
func TestRootCannotBeMade(t *testing.T) {
	cache := play(t, `mkdir -p "$4/some"; echo "E: Failed getting release file"; exit 1`)
	wantMissing(t, "4.0", "E: Failed getting release file")
	left, err := os.ReadDir(cache)
	must(t, err)
	if len(left) != 1 || left[0].Name() != "rabbitmq-4.0.lock" {
		t.Errorf("left: %v", left)
	}
}

func TestRootIsMadeOnce(t *testing.T) {
	cache := play(t, `echo "$3" >>"$(dirname "$4")/made"; mkdir -p "$4/etc"; sleep 0.1`)
	var making sync.WaitGroup
	for range 3 {
		making.Go(func() {
			if err := makeRoot(t.Context(), filepath.Join(cache, "root"), "trixie"); err != nil {
				t.Error(err)
			}
		})
	}
	making.Wait()
	if made, err := os.ReadFile(filepath.Join(cache, "made")); string(made) != "trixie\n" || err != nil {
		t.Errorf("made %q: %v", made, err)
	}
}

// A root that somebody has spoilt is not found again and again in vain.
func TestRootWithoutRabbitMQ(t *testing.T) {
	cache := play(t, `mkdir -p "$4/etc"`)
	_, err := findInRoot(t.Context(), "4.0")
	if err == nil || !strings.Contains(err.Error(), filepath.Join(cache, "rabbitmq-4.0")+": remove it") {
		t.Errorf("error = %v", err)
	}
}

func TestUnknownVersion(t *testing.T) {
	if _, err := Start(t.Context(), Version("2.8")); err == nil || !strings.Contains(err.Error(), `"2.8"`) {
		t.Errorf("error = %v", err)
	}
}
