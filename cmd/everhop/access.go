package main

import (
	"context"
	"crypto/tls"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"regexp"
	"strings"

	"github.com/spf13/cobra"

	"github.com/everhop/everhop/broker"
)

// access is how to get to the broker besides its URL: files, which are read anew at each connect.
type access struct {
	passwordFile string
	tls          broker.TLSFiles
}

func (f *access) add(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVar(&f.passwordFile, "password-file", "", "`FILE` with the password of the URL's user, without the newline at its end; read at each connect")
	flags.StringVar(&f.tls.CA, "tls-ca", "", "`FILE` (PEM) with the authorities that may sign the broker's certificate, for amqps; as the others, read at each connect (default those of the system)")
	flags.StringVar(&f.tls.Certificate, "tls-cert", "", "`FILE` (PEM) with the client's certificate")
	flags.StringVar(&f.tls.Key, "tls-key", "", "`FILE` (PEM) with its key")
	flags.StringVar(&f.tls.ServerName, "tls-server-name", "", "`NAME` that the broker's certificate must have (default the host of the URL)")
	complete(cmd, "tls-server-name")
}

// filesInURL are the parameters of a URL that say what the flags do.
var filesInURL = regexp.MustCompile(`[?&](cacertfile|certfile|keyfile|server_name_indication)=`)

// check returns what is wrong with the flags together with the URLs, which have been parsed.
func (f *access) check(cmd *cobra.Command, urls []string) error {
	var ofTLS string // the first flag of them
	for _, flag := range []string{"password-file", "tls-ca", "tls-cert", "tls-key", "tls-server-name"} {
		given := cmd.Flags().Changed(flag)
		if given && cmd.Flags().Lookup(flag).Value.String() == "" {
			return errors.New("--" + flag + ": empty")
		}
		if given && ofTLS == "" && flag != "password-file" {
			ofTLS = flag
		}
	}
	switch {
	case f.passwordFile != "" && userOf(urls) == "":
		return errors.New("--password-file: the URLs name several users")
	case f.tls.Certificate != "" && f.tls.Key == "":
		return errors.New("--tls-key is missing: a certificate is of no use without its key")
	case f.tls.Certificate == "" && f.tls.Key != "":
		return errors.New("--tls-cert is missing: a key is of no use without its certificate")
	case ofTLS == "":
		return nil
	}
	for _, u := range urls {
		if !strings.HasPrefix(strings.ToLower(u), "amqps://") {
			return errors.New("--" + ofTLS + ": a URL begins with amqp://, without TLS; write amqps://")
		}
		if found := filesInURL.FindStringSubmatch(u); found != nil {
			return fmt.Errorf("--%s: the URL has %s, too; say it in one place", ofTLS, found[1])
		}
	}
	return nil
}

// checkFiles returns what is wrong with each file. Once it runs, they are waited for: they may be about to be renewed.
func (f *access) checkFiles() error {
	var problems []error
	if f.passwordFile != "" {
		password, err := os.ReadFile(f.passwordFile)
		switch {
		case err != nil:
			problems = append(problems, fmt.Errorf("--password-file: %w", err))
		case strings.TrimRight(string(password), "\r\n") == "":
			problems = append(problems, fmt.Errorf("--password-file: %s: empty", f.passwordFile))
		case strings.Contains(string(password), "\x00"):
			problems = append(problems, fmt.Errorf("--password-file: %s: a NUL, which no password has", f.passwordFile))
		}
	}
	ca := checkPEM("--tls-ca", f.tls.CA, "CERTIFICATE")
	certificate := checkPEM("--tls-cert", f.tls.Certificate, "CERTIFICATE")
	key := checkPEM("--tls-key", f.tls.Key, "PRIVATE KEY")
	problems = append(problems, ca, certificate, key)
	if f.tls.Certificate != "" && certificate == nil && key == nil {
		if _, err := tls.LoadX509KeyPair(f.tls.Certificate, f.tls.Key); err != nil {
			problems = append(problems, fmt.Errorf("--tls-cert %s with --tls-key %s: %w", f.tls.Certificate, f.tls.Key, err))
		}
	}
	if f.tls.CA != "" && ca == nil {
		if _, err := (broker.TLSFiles{CA: f.tls.CA}).Load(context.Background()); err != nil {
			problems = append(problems, fmt.Errorf("--tls-ca: %w", err))
		}
	}
	return errors.Join(problems...)
}

// checkPEM returns why a file has no block of a kind, nil if there is no file.
func checkPEM(flag, file, kind string) error {
	if file == "" {
		return nil
	}
	rest, err := os.ReadFile(file)
	if err != nil {
		return fmt.Errorf("%s: %w", flag, err)
	}
	for {
		var block *pem.Block
		block, rest = pem.Decode(rest)
		if block == nil {
			return fmt.Errorf("%s: %s: no %s in it, in PEM", flag, file, strings.ToLower(kind))
		}
		if strings.HasSuffix(block.Type, kind) { // of keys there are RSA PRIVATE KEY and others
			return nil
		}
	}
}

// credentials are nil where those of the URL are used.
func (f *access) credentials(urls []string) broker.CredentialsFunc {
	if f.passwordFile == "" {
		return nil
	}
	return broker.PasswordFile(userOf(urls), f.passwordFile)
}

// secured is nil where that of the URL is used.
func (f *access) secured() broker.TLSFunc {
	if f.tls == (broker.TLSFiles{}) {
		return nil
	}
	return f.tls.Load
}
