package wire

import (
	"bytes"
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestMethodBytes(t *testing.T) {
	tests := []struct {
		method Method
		name   string
		bytes  string
	}{
		{&ConnectionTuneOK{ChannelMax: 2047, FrameMax: 131072, Heartbeat: 10}, "connection.tune-ok",
			"\x00\x0a\x00\x1f" + "\x07\xff" + "\x00\x02\x00\x00" + "\x00\x0a"},
		{&ConnectionCloseOK{}, "connection.close-ok", "\x00\x0a\x00\x33"},
		{&ConnectionStartOK{ClientProperties: Table{"a": true}, Mechanism: "PLAIN", Response: []byte("\x00u\x00p"), Locale: "de"},
			"connection.start-ok",
			"\x00\x0a\x00\x0b" + "\x00\x00\x00\x04\x01at\x01" + "\x05PLAIN" + "\x00\x00\x00\x04\x00u\x00p" + "\x02de"},
		{&ExchangeUnbindOK{}, "exchange.unbind-ok", "\x00\x28\x00\x33"},
		{&QueueDeclare{Queue: "q", Durable: true, NoWait: true}, "queue.declare",
			"\x00\x32\x00\x0a" + "\x00\x00" + "\x01q" + "\x12" + "\x00\x00\x00\x00"},
		{&BasicDeliver{ConsumerTag: "c", DeliveryTag: 1<<63 + 2, Redelivered: true, Exchange: "e", RoutingKey: "k"}, "basic.deliver",
			"\x00\x3c\x00\x3c" + "\x01c" + "\x80\x00\x00\x00\x00\x00\x00\x02" + "\x01" + "\x01e" + "\x01k"},
		{&BasicGetEmpty{}, "basic.get-empty", "\x00\x3c\x00\x48" + "\x00"},
		{&BasicNack{DeliveryTag: 3, Requeue: true}, "basic.nack",
			"\x00\x3c\x00\x78" + "\x00\x00\x00\x00\x00\x00\x00\x03" + "\x02"},
		{&BasicConsumeOK{ConsumerTag: "c"}, "basic.consume-ok", "\x00\x3c\x00\x15" + "\x01c"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := Name(tt.method); got != tt.name {
				t.Errorf("the name is %q", got)
			}
			if got := AppendMethod([]byte("x"), tt.method); string(got) != "x"+tt.bytes {
				t.Errorf("appended % x\n    want % x", got[1:], tt.bytes)
			}
			got, err := ParseMethod([]byte(tt.bytes))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.method, got); diff != "" {
				t.Errorf("-want +parsed:\n%s", diff)
			}
		})
	}
}

// TestLayoutSharesOctetsAmongBits has more bits in a row, and more rows, than any method.
func TestLayoutSharesOctetsAmongBits(t *testing.T) {
	l := layoutOf(new(manyBits))
	in := manyBits{B0: true, B7: true, B8: true, Between: 0xaa, C1: true}
	got := l.append(nil, reflect.ValueOf(in))
	if want := "\x81\x01\xaa\x02"; string(got) != want {
		t.Errorf("appended % x, want % x", got, want)
	}
	var out manyBits
	d := &decoder{left: got}
	l.decode(d, reflect.ValueOf(&out).Elem())
	if err := d.end("bits"); err != nil || in != out {
		t.Errorf("decoded %+v, %v", out, err)
	}
}

type manyBits struct {
	B0, B1, B2, B3, B4, B5, B6, B7, B8 bool
	Between                            uint8
	C0, C1                             bool
}

func (*manyBits) spec() spec { return spec{} }

// TestRegistryIsComplete looks for method types in the source that ParseMethod does not know, and for
// names that do not fit the type.
func TestRegistryIsComplete(t *testing.T) {
	declared := map[string]bool{}
	files, err := filepath.Glob("*.go")
	if err != nil || len(files) == 0 {
		t.Fatal("no source to look at", err)
	}
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		source, err := parser.ParseFile(token.NewFileSet(), file, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range source.Decls {
			if f, ok := d.(*ast.FuncDecl); ok && f.Recv != nil && f.Name.Name == "spec" {
				declared[f.Recv.List[0].Type.(*ast.StarExpr).X.(*ast.Ident).Name] = true
			}
		}
	}
	for _, m := range registry {
		name := reflect.TypeOf(m).Elem().Name()
		if !declared[name] {
			t.Errorf("%s is registered twice", name)
		}
		delete(declared, name)
		if spelled := strings.NewReplacer(".", "", "-", "").Replace(Name(m)); !strings.EqualFold(spelled, name) {
			t.Errorf("%s is called %q", name, Name(m))
		}
	}
	for name := range declared {
		t.Errorf("%s is not registered", name)
	}
	if len(layouts) != len(registry) {
		t.Errorf("%d methods share %d numbers", len(registry), len(layouts))
	}
}

func TestMethodRoundTrip(t *testing.T) {
	for _, m := range examples() {
		t.Run(Name(m), func(t *testing.T) {
			payload := AppendMethod(nil, m)
			got, err := ParseMethod(payload)
			if err != nil {
				t.Fatal(err)
			}
			if !reflect.DeepEqual(m, got) {
				t.Errorf("-want +got:\n%s", cmp.Diff(m, got))
			}
			class, number := ID(m)
			if head := []byte{0, byte(class), 0, byte(number)}; !bytes.HasPrefix(payload, head) {
				t.Errorf("ID is %d, %d, the payload begins with % x", class, number, payload[:4])
			}
			clear(payload)
			if !reflect.DeepEqual(m, got) {
				t.Error("the result shares memory with the payload")
			}
		})
	}
}

// TestParseMethodWantsAllAndNoMore cuts every method short after every byte, and adds one.
func TestParseMethodWantsAllAndNoMore(t *testing.T) {
	for _, m := range examples() {
		payload := AppendMethod(nil, m)
		for n := range payload {
			var syntax *SyntaxError
			if _, err := ParseMethod(payload[:n]); !errors.As(err, &syntax) {
				t.Fatalf("%s cut to %d of %d bytes: %v", Name(m), n, len(payload), err)
			}
		}
		var syntax *SyntaxError
		if _, err := ParseMethod(append(payload, 0)); !errors.As(err, &syntax) || syntax.Subject != Name(m) {
			t.Errorf("%s with a byte more: %v", Name(m), err)
		}
	}
}

func TestParseMethodUnknown(t *testing.T) {
	for payload, want := range map[string]UnknownMethodError{
		"\x00\x46\x00\x0a\x05/data\x00": {Class: 70, Number: 10}, // file.open, of older protocols
		"\x00\x0a\x00\x0c":              {Class: 10, Number: 12},
		"\xff\xff\xff\xff":              {Class: 65535, Number: 65535},
	} {
		_, err := ParseMethod([]byte(payload))
		var got *UnknownMethodError
		if !errors.As(err, &got) || *got != want {
			t.Errorf("% x: %v, want %v", payload, err, &want)
		}
	}
}

func TestShortStringsAreCut(t *testing.T) {
	long := strings.Repeat("n", 300)
	m, err := ParseMethod(AppendMethod(nil, &QueueBind{Queue: long, Exchange: "e", Arguments: Table{long: long}}))
	if err != nil {
		t.Fatal(err)
	}
	want := &QueueBind{Queue: long[:255], Exchange: "e", Arguments: Table{long[:255]: long}}
	if diff := cmp.Diff(want, m); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func FuzzMethod(f *testing.F) {
	for _, m := range examples() {
		f.Add(AppendMethod(nil, m))
	}
	f.Add([]byte("\x00\x32\x00\x0a\x00\x00\x01q\xff\x00\x00\x00\x06\x01aL12345678"))
	f.Fuzz(func(t *testing.T, payload []byte) {
		m, err := ParseMethod(payload)
		if err != nil {
			var syntax *SyntaxError
			var unknown *UnknownMethodError
			if m != nil || !errors.As(err, &syntax) && !errors.As(err, &unknown) {
				t.Errorf("got %v, %v", m, err)
			}
			return
		}
		once := AppendMethod(nil, m)
		if len(once) > len(payload) {
			t.Errorf("grew from\n% x to\n% x", payload, once)
		}
		again, err := ParseMethod(once)
		if err != nil {
			t.Fatalf("%+v does not parse: %v", m, err)
		}
		if twice := AppendMethod(nil, again); !bytes.Equal(once, twice) {
			t.Errorf("first\n% x then\n% x", once, twice)
		}
	})
}

// examples are all methods twice: without anything, and with every argument different.
func examples() (all []Method) {
	for _, m := range registry {
		typ := reflect.TypeOf(m).Elem()
		all = append(all, reflect.New(typ).Interface().(Method))
		full := reflect.New(typ)
		for i := range typ.NumField() {
			switch v := full.Elem().Field(i); v.Kind() {
			case reflect.Bool:
				v.SetBool(i%2 == 0)
			case reflect.String:
				v.SetString(typ.Field(i).Name)
			case reflect.Slice:
				v.SetBytes([]byte(typ.Field(i).Name))
			case reflect.Map:
				v.Set(reflect.ValueOf(everyType()))
			default:
				v.SetUint(^uint64(i) >> (64 - v.Type().Bits()))
			}
		}
		all = append(all, full.Interface().(Method))
	}
	return all
}

func everyType() Table {
	return Table{
		"bool": true, "int8": int8(-1), "uint8": uint8(255), "int16": int16(-2), "uint16": uint16(65535),
		"int32": int32(-3), "uint32": uint32(4294967295), "int64": int64(-4),
		"float32": float32(0.5), "float64": -0.25, "decimal": Decimal{Scale: 2, Value: -12345},
		"string": "text", "no string": "", "bytes": []byte{0, 1}, "no bytes": []byte{},
		"array": []any{int32(1), "two", []any{}, Table{"three": nil}}, "time": time.Unix(1700000000, 0).UTC(),
		"table": Table{"inner": Table{}}, "nil": nil,
	}
}

func BenchmarkMethod(b *testing.B) {
	for _, m := range []Method{
		&BasicDeliver{ConsumerTag: "consumer-1", DeliveryTag: 1, Exchange: "exchange", RoutingKey: "routing.key"},
		&BasicAck{DeliveryTag: 1},
	} {
		payload := AppendMethod(nil, m)
		b.Run("append/"+Name(m), func(b *testing.B) {
			b.ReportAllocs()
			dst := make([]byte, 0, len(payload))
			for b.Loop() {
				dst = AppendMethod(dst[:0], m)
			}
		})
		b.Run("parse/"+Name(m), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := ParseMethod(payload); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
