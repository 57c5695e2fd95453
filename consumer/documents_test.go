package consumer_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// The documents of the repository are all of its *.md files. What they name must be there: links and their
// anchors, Go files, targets of make, flags, and what packages export.

const root = ".."

var (
	fence    = regexp.MustCompile("(?ms)^```.*?^```$")
	inline   = regexp.MustCompile("`[^`\n]+`")
	link     = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	heading  = regexp.MustCompile(`(?m)^#+ (.*)$`)
	noAnchor = regexp.MustCompile(`[^\p{L}\p{N} _-]`)
	target   = regexp.MustCompile("(?m)`make ([a-z0-9-]+)|^make ([a-z0-9-]+)")
	goFile   = regexp.MustCompile(`[\w./]+\.go\b`)
	exported = regexp.MustCompile(`\b(consumer|broker|fsm|journal|history|brokertest|rabbittest|fsmtest)\.([A-Z]\w*)`)
	field    = regexp.MustCompile(`^([A-Z][A-Za-z0-9]*)(\.[A-Z][A-Za-z0-9]*)*$`)
	foreign  = regexp.MustCompile(`^(Subscribe|NoRequeueOnNack|WithConsumerOptions\w+)$`) // other libraries'
	command  = regexp.MustCompile(`everhop [a-z][^\n` + "`" + `]*`)
	inDesign = regexp.MustCompile(`^[A-Za-z]\w*(\.[A-Za-z]\w*)*$`)
	option   = regexp.MustCompile(`--[a-z][a-z-]+`)
)

func TestDocumentsLinks(t *testing.T) {
	for path, text := range documents(t) {
		for _, match := range link.FindAllStringSubmatch(inline.ReplaceAllString(fence.ReplaceAllString(text, ""), ""), -1) {
			if strings.Contains(match[1], "://") || strings.HasPrefix(match[1], "mailto:") {
				continue
			}
			file, anchor, _ := strings.Cut(match[1], "#")
			to := path
			if file != "" {
				to = filepath.Join(filepath.Dir(path), file)
			}
			content, err := os.ReadFile(to)
			if info, statErr := os.Stat(to); statErr != nil || err != nil && !info.IsDir() {
				t.Errorf("%s links to %s, which is not there", path, match[1])
			} else if anchor != "" && !slices.Contains(anchors(string(content)), anchor) {
				t.Errorf("%s links to %s, and there is no such heading", path, match[1])
			}
		}
	}
}

// anchors are what GitHub makes of the headings.
func anchors(text string) (all []string) {
	for _, match := range heading.FindAllStringSubmatch(fence.ReplaceAllString(text, ""), -1) {
		all = append(all, strings.ReplaceAll(noAnchor.ReplaceAllString(strings.ToLower(match[1]), ""), " ", "-"))
	}
	return all
}

func TestDocumentsNames(t *testing.T) {
	makefile, help := read(t, root+"/Makefile"), helps(t)
	declared, known, files := source(t)
	for path, text := range documents(t) {
		if filepath.Base(path) == "CHANGELOG.md" { // it names what has been, too
			continue
		}
		for _, match := range target.FindAllStringSubmatch(text, -1) {
			if !strings.Contains(makefile, "\n"+match[1]+match[2]+":") {
				t.Errorf("%s: there is no make %s", path, match[1]+match[2])
			}
		}
		for _, match := range exported.FindAllStringSubmatch(text, -1) {
			if !declared[match[1]+"."+match[2]] {
				t.Errorf("%s: there is no %s", path, match[0])
			}
		}
		for _, name := range goFile.FindAllString(text, -1) {
			if !files[filepath.Join(filepath.Dir(path), name)] && !files[filepath.Join(root, name)] {
				t.Errorf("%s: there is no file %s, neither beside it nor from the root", path, name)
			}
		}
		for _, line := range command.FindAllString(text, -1) {
			for _, name := range option.FindAllString(line, -1) {
				if !strings.Contains(help, name+" ") {
					t.Errorf("%s: everhop has no flag %s", path, name)
				}
			}
		}
		name := field
		if filepath.Base(path) == "DESIGN.md" { // which goes by unexported names, too
			name = inDesign
		}
		for _, code := range inline.FindAllString(fence.ReplaceAllString(text, ""), -1) {
			code = strings.Trim(code, "`")
			if !name.MatchString(code) || foreign.MatchString(code) || strings.HasSuffix(code, ".go") {
				continue
			}
			for _, name := range strings.Split(code, ".") {
				if !known[name] {
					t.Errorf("%s: nothing is called %s", path, name)
				}
			}
		}
	}
}

// helps are the help texts of all commands.
func helps(t *testing.T) (all string) {
	paths, err := filepath.Glob(root + "/cmd/everhop/testdata/help/*.txt")
	if err != nil || len(paths) < 5 {
		t.Fatal(err, paths)
	}
	for _, path := range paths {
		all += read(t, path)
	}
	return all
}

// source reads all Go files: what packages declare at the top level ("consumer.Config"), every name in them,
// and the repository's files.
func source(t *testing.T) (declared, known, files map[string]bool) {
	declared, known, files = map[string]bool{}, map[string]bool{}, map[string]bool{}
	set := token.NewFileSet()
	walk(t, func(path string) {
		files[path] = true
		if filepath.Ext(path) != ".go" {
			return
		}
		file, err := parser.ParseFile(set, path, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(file, func(n ast.Node) bool {
			if name, ok := n.(*ast.Ident); ok {
				known[name.Name] = true
			}
			return true
		})
		declare := func(name *ast.Ident) { declared[file.Name.Name+"."+name.Name] = true }
		for _, d := range file.Decls {
			switch d := d.(type) {
			case *ast.FuncDecl:
				if d.Recv == nil {
					declare(d.Name)
				}
			case *ast.GenDecl:
				for _, spec := range d.Specs {
					switch spec := spec.(type) {
					case *ast.TypeSpec:
						declare(spec.Name)
					case *ast.ValueSpec:
						for _, name := range spec.Names {
							declare(name)
						}
					}
				}
			}
		}
	})
	return declared, known, files
}

func documents(t *testing.T) map[string]string {
	texts := map[string]string{}
	walk(t, func(path string) {
		if filepath.Ext(path) == ".md" && !strings.Contains(filepath.ToSlash(path), "testdata/fsm/") { // goldens
			texts[path] = read(t, path)
		}
	})
	if len(texts) < 5 {
		t.Fatalf("only %d documents", len(texts))
	}
	return texts
}

func walk(t *testing.T, see func(path string)) {
	t.Helper()
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir() && entry.Name() == ".git":
			return filepath.SkipDir
		case !entry.IsDir():
			see(path)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
