package wire

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"reflect"
)

// layout is the encoding of one method type. The exported fields of the struct, in their order, are
// the arguments of the method:
//
//	uint8  octet    uint32  long         string  short string    bool   bit
//	uint16 short    uint64  long long    []byte  long string     Table  table
//
// Bits that follow each other share octets, the first in the lowest place.
type layout struct {
	method reflect.Type
	name   string
	fields []field
}

// field is how one argument is encoded.
type field struct {
	kind domain
	bit  int // the place of a bit in its octet
}

type domain uint8

const (
	octet domain = iota
	short
	long
	longlong
	shortString
	longString
	bit
	table
)

var domains = map[reflect.Type]domain{
	reflect.TypeFor[uint8]():  octet,
	reflect.TypeFor[uint16](): short,
	reflect.TypeFor[uint32](): long,
	reflect.TypeFor[uint64](): longlong,
	reflect.TypeFor[string](): shortString,
	reflect.TypeFor[[]byte](): longString,
	reflect.TypeFor[bool]():   bit,
	reflect.TypeFor[Table]():  table,
}

// layoutOf panics on a field that has no encoding. It runs when the program starts, on the types of
// this package only.
func layoutOf(m Method) layout {
	t := reflect.TypeOf(m).Elem()
	l := layout{method: t, name: m.spec().name}
	bits := 0
	for i := range t.NumField() {
		kind, ok := domains[t.Field(i).Type]
		if !ok {
			panic(fmt.Sprintf("wire: %s.%s has no encoding", t.Name(), t.Field(i).Name))
		}
		f := field{kind: kind}
		if kind == bit {
			f.bit = bits % 8
			bits++
		} else {
			bits = 0
		}
		l.fields = append(l.fields, f)
	}
	return l
}

func (l layout) append(dst []byte, arguments reflect.Value) []byte {
	for i, f := range l.fields {
		v := arguments.Field(i)
		switch f.kind {
		case octet:
			dst = append(dst, uint8(v.Uint()))
		case short:
			dst = binary.BigEndian.AppendUint16(dst, uint16(v.Uint()))
		case long:
			dst = binary.BigEndian.AppendUint32(dst, uint32(v.Uint()))
		case longlong:
			dst = binary.BigEndian.AppendUint64(dst, v.Uint())
		case shortString:
			dst = appendShortString(dst, v.String())
		case longString:
			dst = appendLongString(dst, v.Bytes())
		case bit:
			if f.bit == 0 {
				dst = append(dst, 0)
			}
			if v.Bool() {
				dst[len(dst)-1] |= 1 << f.bit
			}
		case table:
			dst = appendTable(dst, v.Interface().(Table))
		}
	}
	return dst
}

func (l layout) decode(d *decoder, arguments reflect.Value) {
	var bits uint8
	for i, f := range l.fields {
		v := arguments.Field(i)
		switch f.kind {
		case octet:
			v.SetUint(uint64(d.octet()))
		case short:
			v.SetUint(uint64(d.short()))
		case long:
			v.SetUint(uint64(d.long()))
		case longlong:
			v.SetUint(d.longlong())
		case shortString:
			v.SetString(d.shortString())
		case longString:
			if s := d.longString(); len(s) > 0 {
				v.SetBytes(bytes.Clone(s))
			}
		case bit:
			if f.bit == 0 {
				bits = d.octet()
			}
			v.SetBool(bits&(1<<f.bit) != 0)
		case table:
			if t := d.table(0); len(t) > 0 {
				v.Set(reflect.ValueOf(t))
			}
		}
	}
}
