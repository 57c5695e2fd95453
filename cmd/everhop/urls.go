package main

import (
	"errors"
	"fmt"
	"net/url"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/everhop/everhop/broker"
)

// urlVariable names the environment variable that serves where --url is missing.
const urlVariable = "EVERHOP_URL"

// urlFlag is --url, which may be given several times.
type urlFlag []string

func (f *urlFlag) add(cmd *cobra.Command) {
	cmd.Flags().StringArrayVar((*[]string)(f), "url", nil,
		"`URL` of the broker, amqp[s]://[user:password@]host[:port][,...][/vhost]; may be repeated, for the nodes of a cluster (default $"+urlVariable+")")
	complete(cmd, "url")
}

// endpoints returns the URLs and what they name.
func (f urlFlag) endpoints() ([]string, []broker.Endpoint, error) {
	source, text := "--url", strings.Join(f, " ")
	if len(f) == 0 {
		source, text = urlVariable, os.Getenv(urlVariable)
	}
	urls := splitURLs(text)
	if len(urls) == 0 && source == urlVariable {
		return nil, nil, errors.New("--url is missing, and " + urlVariable + " is not set")
	}
	if len(urls) == 0 {
		return nil, nil, errors.New("--url: empty")
	}
	endpoints, err := broker.ParseEndpoints(urls...)
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", source, err)
	}
	return urls, endpoints, nil
}

// separators between URLs: white space, and a comma where the next URL follows; any other comma may
// be part of a password.
var separators = strings.NewReplacer(",amqp://", " amqp://", ",amqps://", " amqps://", ", ", " ")

func splitURLs(text string) []string { return strings.Fields(separators.Replace(text)) }

// userOf is the user that all of these URLs name, "" if they name several.
func userOf(urls []string) (user string) {
	for i, u := range urls {
		named := "guest"
		_, rest, _ := strings.Cut(u, "://")
		authority := rest
		if end := strings.IndexAny(rest, "/?#"); end >= 0 {
			authority = rest[:end]
		}
		if at := strings.LastIndexByte(authority, '@'); at >= 0 {
			escaped, _, _ := strings.Cut(authority[:at], ":")
			named, _ = url.PathUnescape(escaped) // it was parsed before
		}
		if i > 0 && named != user {
			return ""
		}
		user = named
	}
	return user
}

// checkFiles returns an error for the first endpoint whose certificate files cannot be loaded. Once it
// runs, a consumer waits for them: they may be about to be renewed. At the start they are a mistake.
func checkFiles(endpoints []broker.Endpoint) error {
	for _, e := range endpoints {
		if err := e.CheckFiles(); err != nil {
			return fmt.Errorf("URL of %v: %w", e, err)
		}
	}
	return nil
}
