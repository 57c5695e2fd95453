package record

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"io"
	"unicode/utf8"

	"github.com/everhop/everhop/consumer"
)

// Stream writes what Write does, little by little: who does not read it costs no memory, however large the message is. It
// returns the first error of to.
func Stream(to io.Writer, d *consumer.Delivery) error {
	var rest bytes.Buffer // all but the body: {"exchange":...
	if err := encode(&rest, fieldsOf(d)); err != nil {
		return err
	}
	w := bufio.NewWriter(to)
	if utf8.Valid(d.Body) {
		_, _ = w.WriteString(`{"body":"`) // w remembers its errors
		if err := writeEscaped(w, d.Body); err != nil {
			return err
		}
	} else {
		_, _ = w.WriteString(`{"body_base64":"`)
		encoder := base64.NewEncoder(base64.StdEncoding, w)
		if _, err := encoder.Write(d.Body); err != nil {
			return err
		}
		if err := encoder.Close(); err != nil {
			return err
		}
	}
	_, _ = w.WriteString(`",`)
	_, _ = w.Write(rest.Bytes()[1:])
	return w.Flush()
}

// escapedAtOnce is how much of a text is made JSON at once.
const escapedAtOnce = 8 << 10

// writeEscaped writes text, which is UTF-8, as what stands between the quotes of JSON.
func writeEscaped(w io.Writer, text []byte) error {
	var piece bytes.Buffer
	for len(text) > 0 {
		n := min(len(text), escapedAtOnce)
		for n < len(text) && !utf8.RuneStart(text[n]) {
			n--
		}
		piece.Reset()
		if err := encode(&piece, string(text[:n])); err != nil {
			return err
		}
		if _, err := w.Write(piece.Bytes()[1 : piece.Len()-2]); err != nil { // without quotes and line feed
			return err
		}
		text = text[n:]
	}
	return nil
}
