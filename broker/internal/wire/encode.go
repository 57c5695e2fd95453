package wire

import (
	"encoding/binary"
	"maps"
	"math"
	"slices"
	"time"
)

// MaxShortString is how many bytes a short string has at most: one byte tells its length.
const MaxShortString = math.MaxUint8

// appendShortString cuts s after 255 bytes: its length has one octet.
func appendShortString(dst []byte, s string) []byte {
	s = s[:min(len(s), MaxShortString)]
	return append(append(dst, byte(len(s))), s...)
}

func appendLongString[S string | []byte](dst []byte, s S) []byte {
	return append(binary.BigEndian.AppendUint32(dst, uint32(len(s))), s...)
}

func appendTimestamp(dst []byte, t time.Time) []byte {
	return binary.BigEndian.AppendUint64(dst, uint64(t.Unix()))
}

// appendTable appends the entries in the order of their keys, so that equal tables are equal bytes.
func appendTable(dst []byte, t Table) []byte {
	return appendContainer(dst, func(dst []byte) []byte {
		for _, key := range slices.Sorted(maps.Keys(t)) {
			dst = appendValue(appendShortString(dst, key), t[key])
		}
		return dst
	})
}

func appendArray(dst []byte, a []any) []byte {
	return appendContainer(dst, func(dst []byte) []byte {
		for _, v := range a {
			dst = appendValue(dst, v)
		}
		return dst
	})
}

// appendContainer appends content and puts its length in front.
func appendContainer(dst []byte, content func([]byte) []byte) []byte {
	dst = append(dst, 0, 0, 0, 0)
	start := len(dst)
	dst = content(dst)
	binary.BigEndian.PutUint32(dst[start-4:], uint32(len(dst)-start))
	return dst
}

func appendValue(dst []byte, v any) []byte {
	order := binary.BigEndian
	switch v := v.(type) {
	case bool:
		if v {
			return append(dst, 't', 1)
		}
		return append(dst, 't', 0)
	case int8:
		return append(dst, 'b', byte(v))
	case uint8:
		return append(dst, 'B', v)
	case int16:
		return order.AppendUint16(append(dst, 's'), uint16(v))
	case uint16:
		return order.AppendUint16(append(dst, 'u'), v)
	case int32:
		return order.AppendUint32(append(dst, 'I'), uint32(v))
	case uint32:
		return order.AppendUint32(append(dst, 'i'), v)
	case int64:
		return order.AppendUint64(append(dst, 'l'), uint64(v))
	case int:
		return order.AppendUint64(append(dst, 'l'), uint64(v))
	case float32:
		return order.AppendUint32(append(dst, 'f'), math.Float32bits(v))
	case float64:
		return order.AppendUint64(append(dst, 'd'), math.Float64bits(v))
	case Decimal:
		return order.AppendUint32(append(dst, 'D', v.Scale), uint32(v.Value))
	case string:
		return appendLongString(append(dst, 'S'), v)
	case []byte:
		return appendLongString(append(dst, 'x'), v)
	case []any:
		return appendArray(append(dst, 'A'), v)
	case time.Time:
		return appendTimestamp(append(dst, 'T'), v)
	case Table:
		return appendTable(append(dst, 'F'), v)
	default: // nil, and what Validate reports
		return append(dst, 'V')
	}
}
