package health

import (
	"crypto/sha256"
	"embed"
	"encoding/base64"
	"net/http"
	"strings"
)

// pageFiles are what the page is made of. They stand apart for people; a browser gets one file.
//
//go:embed page
var pageFiles embed.FS

var page, pagePolicy = assemble()

// assemble puts the page together. Its policy permits what stands in it, and requests to where it came from.
func assemble() (html, policy string) {
	style := file("style.css")
	script := "(() => {\n\"use strict\";\n"
	for _, name := range []string{"words.js", "dom.js", "graph.js", "timeline.js", "rows.js", "events.js", "live.js"} {
		script += file(name)
	}
	script += "})();\n"
	html = strings.NewReplacer("/*style*/", style, "/*script*/", script).Replace(file("page.html"))
	policy = "default-src 'none'; connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'" +
		"; style-src '" + hash(style) + "'; script-src '" + hash(script) + "'"
	return html, policy
}

func file(name string) string {
	text, err := pageFiles.ReadFile("page/" + name)
	if err != nil {
		panic(err) // it is embedded: its test fails before anything ships
	}
	return string(text)
}

func hash(text string) string {
	sum := sha256.Sum256([]byte(text))
	return "sha256-" + base64.StdEncoding.EncodeToString(sum[:])
}

func showPage(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Content-Security-Policy", pagePolicy)
	w.Header().Set("Referrer-Policy", "no-referrer")
	_, _ = w.Write([]byte(page))
}
