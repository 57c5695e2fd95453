package broker

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// knownParameters are the query parameters of a URL that mean something here.
const knownParameters = "auth_mechanism, cacertfile, certfile, channel_max, connection_timeout, heartbeat, keyfile, " +
	"server_name_indication, verify"

// maxConnectionTimeout is that of Plan.ConnectTimeout.
const maxConnectionTimeout = time.Hour

// parameters reads the part of a URL behind the '?'.
func (e *Endpoint) parameters(query string) error {
	values, err := url.ParseQuery(query)
	if err != nil {
		return fmt.Errorf("%w: the part after '?' cannot be read", ErrURL)
	}
	for _, name := range slices.Sorted(maps.Keys(values)) {
		all := values[name]
		if err := e.parameter(name, all[len(all)-1]); err != nil {
			return fmt.Errorf("%w: %w", ErrURL, err)
		}
	}
	if !e.tls && (e.files != (TLSFiles{}) || values.Has("verify")) {
		return fmt.Errorf("%w: certificate parameters need amqps://", ErrURL)
	}
	return nil
}

func (e *Endpoint) parameter(name, value string) error {
	switch name {
	case "cacertfile":
		e.files.CA = value
	case "certfile":
		e.files.Certificate = value
	case "keyfile":
		e.files.Key = value
	case "server_name_indication":
		e.files.ServerName = value
	case "verify":
		if value != "verify_peer" {
			return errors.New("verify must be verify_peer: the server is always verified; cacertfile names who may have signed its certificate")
		}
	case "auth_mechanism":
		switch strings.ToLower(value) {
		case "plain":
		case "external":
			e.external = true
		default:
			return errors.New("auth_mechanism must be plain or external")
		}
	case "heartbeat":
		n, err := wholeNumber(name, value, " seconds", int(maxHeartbeat/time.Second))
		e.heartbeat = time.Duration(n) * time.Second
		return err
	case "connection_timeout":
		n, err := wholeNumber(name, value, " milliseconds", int(maxConnectionTimeout/time.Millisecond))
		e.connectionTimeout = time.Duration(n) * time.Millisecond
		return err
	case "channel_max":
		n, err := wholeNumber(name, value, "", math.MaxUint16)
		e.channelMax = uint16(n)
		return err
	case "depth", "fail_if_no_peer_cert", "password", "frame_max":
		return fmt.Errorf("parameter %q, which other clients know, is not supported (supported: %s)", name, knownParameters)
	default:
		return fmt.Errorf("parameter %q is not known (known: %s)", name, knownParameters)
	}
	return nil
}

// wholeNumber reads a whole number of units, from 1 to most.
func wholeNumber(name, value, unit string, most int) (int, error) {
	n, err := strconv.Atoi(value)
	if err != nil || n < 1 || n > most {
		return 0, fmt.Errorf("%s must be a whole number from 1 to %d%s", name, most, unit)
	}
	return n, nil
}
