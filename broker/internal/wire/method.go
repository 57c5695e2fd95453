package wire

import (
	"encoding/binary"
	"reflect"
)

// Method is a pointer to one of the method types of this package, such as [*QueueDeclare].
type Method interface {
	spec() spec
}

// spec is how the specification calls a method.
type spec struct {
	class, number uint16
	name          string
}

// Name returns the method's name in the specification, "queue.declare".
func Name(m Method) string { return m.spec().name }

// ID returns the numbers of the method's class and of the method in it.
func ID(m Method) (class, number uint16) {
	s := m.spec()
	return s.class, s.number
}

// AppendMethod appends the payload of a method frame: the method's numbers and its arguments. A short
// string is cut after 255 bytes.
func AppendMethod(dst []byte, m Method) []byte {
	s := m.spec()
	dst = binary.BigEndian.AppendUint16(dst, s.class)
	dst = binary.BigEndian.AppendUint16(dst, s.number)
	return layouts[methodID{s.class, s.number}].append(dst, reflect.ValueOf(m).Elem())
}

// ParseMethod decodes the payload of a method frame. A table or long string without content is nil
// in the result.
//
// The error is a [*SyntaxError] or an [*UnknownMethodError].
func ParseMethod(payload []byte) (Method, error) {
	d := &decoder{left: payload}
	id := methodID{class: d.short(), number: d.short()}
	if d.fault != "" {
		return nil, d.end("method")
	}
	l, ok := layouts[id]
	if !ok {
		return nil, &UnknownMethodError{Class: id.class, Number: id.number}
	}
	v := reflect.New(l.method)
	l.decode(d, v.Elem())
	if err := d.end(l.name); err != nil {
		return nil, err
	}
	return v.Interface().(Method), nil
}

type methodID struct{ class, number uint16 }

// layouts is built once from the registry, and read-only from then on.
var layouts = func() map[methodID]layout {
	all := make(map[methodID]layout, len(registry))
	for _, m := range registry {
		s := m.spec()
		all[methodID{s.class, s.number}] = layoutOf(m)
	}
	return all
}()
