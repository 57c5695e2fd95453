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
