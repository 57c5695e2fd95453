package wire

import (
	"encoding/binary"
	"time"
)

// Properties describe a message. A property is present when it is not the zero value of its type;
// Headers are when they are not nil. What is left of the rare others is kept in Empty.
type Properties struct {
	ContentType     string
	ContentEncoding string
	Headers         Table
	DeliveryMode    uint8
	Priority        uint8
	CorrelationID   string
	ReplyTo         string
	Expiration      string
	MessageID       string
	Timestamp       time.Time // whole seconds, UTC
	Type            string
	UserID          string
	AppID           string
	ClusterID       string

	// Empty are the properties that are present with the zero value, as ParseHeader found them. It says
	// nothing of the others, so whoever sets a property, or removes one that had a value, need not mind.
	Empty PropertySet
}

// PropertySet is a set of properties, in the bits that the content header has for them.
type PropertySet uint16

// In the order of the values in a content header.
const (
	contentType PropertySet = 1 << (15 - iota)
	contentEncoding
	headers
	deliveryMode
	priority
	correlationID
	replyTo
	expiration
	messageID
	timestamp
	typeProperty
	userID
	appID
	clusterID

	undefined = clusterID - 1
)

// present is the set of the properties that are sent.
func (p *Properties) present() PropertySet {
	set := p.Empty &^ undefined
	for _, property := range []struct {
		bit PropertySet
		set bool
	}{
		{contentType, p.ContentType != ""},
		{contentEncoding, p.ContentEncoding != ""},
		{headers, p.Headers != nil},
		{deliveryMode, p.DeliveryMode != 0},
		{priority, p.Priority != 0},
		{correlationID, p.CorrelationID != ""},
		{replyTo, p.ReplyTo != ""},
		{expiration, p.Expiration != ""},
		{messageID, p.MessageID != ""},
		{timestamp, !p.Timestamp.IsZero()},
		{typeProperty, p.Type != ""},
		{userID, p.UserID != ""},
		{appID, p.AppID != ""},
		{clusterID, p.ClusterID != ""},
	} {
		if property.set {
			set |= property.bit
		}
	}
	return set
}

func (p *Properties) append(dst []byte) []byte {
	present := p.present()
	dst = binary.BigEndian.AppendUint16(dst, uint16(present))
	text := func(bit PropertySet, s string) {
		if present&bit != 0 {
			dst = appendShortString(dst, s)
		}
	}
	text(contentType, p.ContentType)
	text(contentEncoding, p.ContentEncoding)
	if present&headers != 0 {
		dst = appendTable(dst, p.Headers)
	}
	if present&deliveryMode != 0 {
		dst = append(dst, p.DeliveryMode)
	}
	if present&priority != 0 {
		dst = append(dst, p.Priority)
	}
	text(correlationID, p.CorrelationID)
	text(replyTo, p.ReplyTo)
	text(expiration, p.Expiration)
	text(messageID, p.MessageID)
	if present&timestamp != 0 {
		dst = appendTimestamp(dst, p.Timestamp)
	}
	text(typeProperty, p.Type)
	text(userID, p.UserID)
	text(appID, p.AppID)
	text(clusterID, p.ClusterID)
	return dst
}

// decode returns the set of what is there. What is often the same in one message as in the last is shared
// with last, which may be anything, and is changed to hold the strings of this one.
func (p *Properties) decode(d *decoder, last *Properties) (present PropertySet) {
	present = PropertySet(d.short())
	if present&undefined != 0 && !d.lenient {
		d.fail("undefined property flags %#x", present&undefined)
		return present
	}
	if present&contentType != 0 {
		p.ContentType = d.repeated(&last.ContentType)
	}
	if present&contentEncoding != 0 {
		p.ContentEncoding = d.repeated(&last.ContentEncoding)
	}
	fault := ""
	if present&headers != 0 {
		p.Headers, fault = d.headers()
	}
	if present&deliveryMode != 0 {
		p.DeliveryMode = d.octet()
	}
	if present&priority != 0 {
		p.Priority = d.octet()
	}
	if present&correlationID != 0 {
		p.CorrelationID = d.shortString()
	}
	if present&replyTo != 0 {
		p.ReplyTo = d.repeated(&last.ReplyTo)
	}
	if present&expiration != 0 {
		p.Expiration = d.repeated(&last.Expiration)
	}
	if present&messageID != 0 {
		p.MessageID = d.shortString()
	}
	if present&timestamp != 0 {
		p.Timestamp = d.timestamp()
	}
	if present&typeProperty != 0 {
		p.Type = d.repeated(&last.Type)
	}
	if present&userID != 0 {
		p.UserID = d.repeated(&last.UserID)
	}
	if present&appID != 0 {
		p.AppID = d.repeated(&last.AppID)
	}
	if present&clusterID != 0 {
		p.ClusterID = d.repeated(&last.ClusterID)
	}
	if fault != "" {
		d.fault = fault
	}
	return present
}

// headers decodes the table of a content header. A fault in it is not one of what is behind it.
func (d *decoder) headers() (t Table, fault string) {
	length := d.left[:min(4, len(d.left))]
	content := d.longString()
	if d.fault != "" || d.skipHeaders {
		return nil, d.fault
	}
	behind := d.left
	d.left = length[: 4+len(content) : cap(length)]
	t = d.table(0)
	fault, d.fault, d.left = d.fault, "", behind
	return t, fault
}
