package brokertest

import (
	"maps"

	"github.com/everhop/everhop/broker/internal/wire"
)

// copy takes over to which keys else a message goes, besides its own: those in its headers CC and BCC. Nobody gets to
// see BCC.
func (m *message) copy() (err error) {
	headers := m.properties.Headers
	if m.cc, err = keys(headers, "CC"); err != nil {
		return err
	}
	if m.bcc, err = keys(headers, "BCC"); err != nil {
		return err
	}
	if _, given := headers["BCC"]; given {
		m.properties.Headers = maps.Clone(headers)
		delete(m.properties.Headers, "BCC")
	}
	return nil
}

// keys reads the routing keys in a header.
func keys(headers wire.Table, name string) (found []string, err error) {
	value, given := headers[name]
	if !given {
		return nil, nil
	}
	list, ok := value.([]any)
	if !ok {
		return nil, refuse(preconditionFailed, "invalid message: {unacceptable_type_in_header,\"%s\",%s}", name, typeName(value))
	}
	for _, item := range list {
		if key, ok := item.(string); ok {
			found = append(found, key)
		}
	}
	return found, nil
}

// anyKey tells whether fits holds for a key that the message is routed with.
func (m *message) anyKey(fits func(key string) bool) bool {
	if fits(m.key) {
		return true
	}
	for _, key := range m.cc {
		if fits(key) {
			return true
		}
	}
	for _, key := range m.bcc {
		if fits(key) {
			return true
		}
	}
	return false
}
