package otel

import "maps"

// headers are a message's, as a propagator wants them. A header with another type than text is none for it.
type headers map[string]any

func (h headers) Get(key string) string {
	switch value := h[key].(type) {
	case string:
		return value
	case []byte:
		return string(value)
	}
	return ""
}

func (h headers) Set(key, value string) { h[key] = value }

func (h headers) Keys() []string {
	keys := make([]string, 0, len(h))
	for key := range maps.Keys(h) {
		keys = append(keys, key)
	}
	return keys
}
