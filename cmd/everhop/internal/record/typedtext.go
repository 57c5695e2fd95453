package record

import (
	"encoding/base64"
	"errors"
	"fmt"
	"math"
	"regexp"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/everhop/everhop/broker"
)

func isNo(text, kind string) error { return fmt.Errorf(": %.40q is no %s", text, kind) }

// notInJSON is a number for which JSON has no form, by the name that JavaScript has for it.
func notInJSON(f float64) (name string, ok bool) {
	switch {
	case math.IsNaN(f):
		return "NaN", true
	case math.IsInf(f, 1):
		return "Infinity", true
	case math.IsInf(f, -1):
		return "-Infinity", true
	}
	return "", false
}

// inBase64 is what text begins with that JSON cannot hold, since it is not UTF-8, and text that begins with it itself.
const inBase64 = "base64:"

func writeText(s string) string {
	if utf8.ValidString(s) && !strings.HasPrefix(s, inBase64) {
		return s
	}
	return inBase64 + base64.StdEncoding.EncodeToString([]byte(s))
}

// readText takes what writeText writes and no other base64: two names would be the same.
func readText(s string) (string, error) {
	encoded, is := strings.CutPrefix(s, inBase64)
	if !is {
		return s, nil
	}
	b, err := base64.StdEncoding.DecodeString(encoded)
	if err != nil {
		return "", fmt.Errorf("%.40q has no base64 behind %q", s, inBase64)
	}
	if text := string(b); writeText(text) == s {
		return text, nil
	}
	return "", fmt.Errorf("%.40q: write it as %.40q", s, b)
}

// longestYear is up to where a time is written as one. Some publishers send milliseconds where AMQP has seconds.
const longestYear = 999_999

// Time is a time as a record has it: in UTC, and the seconds since 1970 where there is no year to write.
func Time(t time.Time) string {
	t = t.UTC()
	if y := t.Year(); y < 0 || y > longestYear {
		return strconv.FormatInt(t.Unix(), 10)
	}
	return t.Format(time.RFC3339)
}

func readTime(text string) (time.Time, error) {
	if n, err := strconv.ParseInt(text, 10, 64); err == nil {
		return time.Unix(n, 0).UTC(), nil
	}
	year, rest, _ := strings.Cut(text, "-")
	if len(year) <= len("2006") {
		return time.Parse(time.RFC3339, text)
	}
	y, err := strconv.ParseUint(year, 10, 32)
	if err != nil || y > longestYear {
		return time.Time{}, errors.New("no year")
	}
	t, err := time.Parse(time.RFC3339, "2000-"+rest) // package time reads years of four digits
	if err != nil {
		return time.Time{}, err
	}
	return time.Date(int(y), t.Month(), t.Day(), t.Hour(), t.Minute(), t.Second(), 0, t.Location()), nil
}

// writeDecimal writes as many digits behind the point as the scale says: 1.50 has two.
func writeDecimal(d broker.Decimal) string {
	sign, digits := "", strconv.FormatInt(int64(d.Value), 10)
	if d.Value < 0 {
		sign, digits = "-", digits[1:]
	}
	scale := int(d.Scale)
	if scale == 0 {
		return sign + digits
	}
	if missing := scale + 1 - len(digits); missing > 0 {
		digits = strings.Repeat("0", missing) + digits
	}
	point := len(digits) - scale
	return sign + digits[:point] + "." + digits[point:]
}

var decimal = regexp.MustCompile(`^(-?[0-9]+)(?:\.([0-9]{1,255}))?$`)

func readDecimal(text string) (any, error) {
	found := decimal.FindStringSubmatch(text)
	if found == nil {
		return nil, isNo(text, typeDecimal)
	}
	n, err := strconv.ParseInt(found[1]+found[2], 10, 32)
	if err != nil {
		return nil, isNo(text, typeDecimal)
	}
	return broker.Decimal{Scale: uint8(len(found[2])), Value: int32(n)}, nil
}
