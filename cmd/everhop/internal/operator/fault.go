package operator

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/everhop/everhop/broker/brokertest"
)

// Fault is what is to go wrong, and when. Which of the other fields a fault has, its entry in faults tells.
type Fault struct {
	Name string `json:"fault"`
	At   At     `json:"at"` // at once, if it is left out

	Code      uint16 `json:"code"` // of close-connection and close-channel
	Text      string `json:"text"` // of these, of block and alarm; the body of end-connections-at
	Direction string `json:"direction"`
	After     string `json:"after"` // such as 1.5s; the pause of drip
	Count     int    `json:"count"` // of confirm-together; the bytes a second of limit
	Queue     string `json:"queue"`
	Exchange  string `json:"exchange"`
	User      string `json:"user"`
	Password  string `json:"password"`
	Host      string `json:"vhost"` // of delete-vhost; other faults have that of At
	Bytes     []byte `json:"bytes"` // in base64

	Key       string         `json:"key"` // of unbind
	Arguments map[string]any `json:"arguments"`
}

// At is a moment. It has one of the first five fields, or none, which is at once.
type At struct {
	Connect  bool   `json:"connect"`  // when the nth connection is accepted
	Frame    bool   `json:"frame"`    // when the nth frame has come
	Method   string `json:"method"`   // when the nth method of that name has come, or is to be sent
	Received int    `json:"received"` // when so many bytes have come from a connection
	Sent     int    `json:"sent"`     // when so many bytes were sent to a connection
	Nth      int    `json:"nth"`      // defaults to 1

	// These narrow it.
	Name       string `json:"name"`       // the connection_name of the client
	Connection int    `json:"connection"` // its ID
	Peer       string `json:"peer"`       // the client's address
	Queue      string `json:"queue"`
	Host       string `json:"vhost"`
	Again      bool   `json:"again"` // each time
}

// kind of fault: it is made of the fields that it has, besides At.
type kind struct {
	fields
	of func(f Fault) brokertest.Fault
}

var faults = map[string]kind{
	"nothing":           {of: func(Fault) brokertest.Fault { return brokertest.Fault{} }},
	"reset":             {of: func(Fault) brokertest.Fault { return brokertest.Reset() }},
	"hang-up":           {of: func(Fault) brokertest.Fault { return brokertest.HangUp() }},
	"close-connection":  {fields{"code", "text"}, func(f Fault) brokertest.Fault { return brokertest.CloseConnection(f.Code, f.Text) }},
	"close-channel":     {fields{"code", "text"}, func(f Fault) brokertest.Fault { return brokertest.CloseChannel(f.Code, f.Text) }},
	"consumer-timeout":  {of: func(Fault) brokertest.Fault { return brokertest.ConsumerTimeout() }},
	"cancel-consumers":  {of: func(Fault) brokertest.Fault { return brokertest.CancelConsumers() }},
	"freeze":            {fields{"", "direction"}, func(f Fault) brokertest.Fault { return brokertest.Freeze(f.direction()) }},
	"thaw":              {of: func(Fault) brokertest.Fault { return brokertest.Thaw() }},
	"drip":              {fields{"after", ""}, func(f Fault) brokertest.Fault { return brokertest.Drip(f.after()) }},
	"limit":             {fields{"count", "direction"}, func(f Fault) brokertest.Fault { return brokertest.Limit(f.direction(), f.Count) }},
	"delay":             {fields{"after", ""}, func(f Fault) brokertest.Fault { return brokertest.Delay(f.after()) }},
	"stop-heartbeats":   {of: func(Fault) brokertest.Fault { return brokertest.StopHeartbeats() }},
	"send":              {fields{"bytes", ""}, func(f Fault) brokertest.Fault { return brokertest.Send(f.Bytes) }},
	"garbage":           {of: func(Fault) brokertest.Fault { return brokertest.Garbage() }},
	"split-frames":      {of: func(Fault) brokertest.Fault { return brokertest.SplitFrames() }},
	"large-header":      {of: func(Fault) brokertest.Fault { return brokertest.LargeHeader() }},
	"stop-in-body":      {of: func(Fault) brokertest.Fault { return brokertest.StopInBody() }},
	"block":             {fields{"", "text"}, func(f Fault) brokertest.Fault { return brokertest.Block(f.Text) }},
	"unblock":           {of: func(Fault) brokertest.Fault { return brokertest.Unblock() }},
	"drop":              {of: func(Fault) brokertest.Fault { return brokertest.Drop() }},
	"nack":              {of: func(Fault) brokertest.Fault { return brokertest.Nack() }},
	"unroute":           {of: func(Fault) brokertest.Fault { return brokertest.Unroute() }},
	"withhold":          {of: func(Fault) brokertest.Fault { return brokertest.Withhold() }},
	"confirm-after":     {fields{"after", ""}, func(f Fault) brokertest.Fault { return brokertest.ConfirmAfter(f.after()) }},
	"confirm-together":  {fields{"count", ""}, func(f Fault) brokertest.Fault { return brokertest.ConfirmTogether(f.Count) }},
	"withhold-confirms": {fields{"queue", ""}, func(f Fault) brokertest.Fault { return brokertest.WithholdConfirms(f.Queue) }},
	"release-confirms":  {fields{"queue", ""}, func(f Fault) brokertest.Fault { return brokertest.ReleaseConfirms(f.Queue) }},
	"suspend-queue":     {fields{"queue", ""}, func(f Fault) brokertest.Fault { return brokertest.SuspendQueue(f.Queue) }},
	"resume-queue":      {fields{"queue", ""}, func(f Fault) brokertest.Fault { return brokertest.ResumeQueue(f.Queue) }},
	"delete-queue":      {fields{"queue", ""}, func(f Fault) brokertest.Fault { return brokertest.DeleteQueue(f.Queue) }},
	"delete-exchange":   {fields{"exchange", ""}, func(f Fault) brokertest.Fault { return brokertest.DeleteExchange(f.Exchange) }},
	"unbind": {fields{"exchange queue", "key arguments"}, func(f Fault) brokertest.Fault {
		return brokertest.Unbind(f.Exchange, f.Key, f.Queue, table(f.Arguments))
	}},
	"end-connections-at": {fields{"queue text", ""}, func(f Fault) brokertest.Fault { return brokertest.EndConnectionsAt(f.Queue, f.Text) }},
	"set-password":       {fields{"user password", ""}, func(f Fault) brokertest.Fault { return brokertest.SetPassword(f.User, f.Password) }},
	"delete-user":        {fields{"user", ""}, func(f Fault) brokertest.Fault { return brokertest.DeleteUser(f.User) }},
	"delete-vhost":       {fields{"vhost", ""}, func(f Fault) brokertest.Fault { return brokertest.DeleteVirtualHost(f.Host) }},
	"refuse-connections": {of: func(Fault) brokertest.Fault { return brokertest.RefuseConnections() }},
	"alarm":              {fields{"", "text"}, func(f Fault) brokertest.Fault { return brokertest.Alarm(f.Text) }},
	"stop-app":           {of: func(Fault) brokertest.Fault { return brokertest.StopApp() }},
}

// Names are the faults that there are, in alphabetical order.
func Names() []string { return slices.Sorted(maps.Keys(faults)) }

var directions = map[string]brokertest.Direction{
	"": brokertest.Both, "both": brokertest.Both, "to-client": brokertest.ToClient, "from-client": brokertest.FromClient,
}

func (f Fault) direction() brokertest.Direction { return directions[f.Direction] }

func (f Fault) after() time.Duration {
	d, _ := time.ParseDuration(f.After) // which was looked at before
	return d
}

// parse tells what is to be injected, and when.
func (f Fault) parse(given map[string]json.RawMessage) (brokertest.Moment, brokertest.Fault, error) {
	var none brokertest.Fault
	when, err := f.At.moment()
	if err != nil {
		return when, none, err
	}
	kind, known := faults[f.Name]
	if !known {
		return when, none, fmt.Errorf("there is no fault %q; there are %s", f.Name, strings.Join(Names(), ", "))
	}
	delete(given, "fault")
	delete(given, "at")
	if err := kind.check(f.Name, given); err != nil {
		return when, none, err
	}
	if _, known := directions[f.Direction]; !known {
		return when, none, fmt.Errorf("direction is %q, want both, to-client or from-client", f.Direction)
	}
	if given["count"] != nil && f.Count < 1 {
		return when, none, fmt.Errorf("count is %d, want 1 or more", f.Count)
	}
	if f.After != "" {
		if d, err := time.ParseDuration(f.After); err != nil || d < 0 {
			return when, none, fmt.Errorf("after is %q, want a duration such as 1.5s", f.After)
		}
	}
	return when, kind.of(f), nil
}

func (a At) moment() (m brokertest.Moment, err error) {
	given := 0
	for _, is := range []bool{a.Connect, a.Frame, a.Method != "", a.Received > 0, a.Sent > 0} {
		if is {
			given++
		}
	}
	switch {
	case given > 1:
		return m, fmt.Errorf("at has one of connect, frame, method, received and sent")
	case a.Received < 0 || a.Sent < 0 || a.Nth < 0:
		return m, fmt.Errorf("received, sent and nth of at count from 1")
	case a.Nth > 0 && !a.Connect && !a.Frame && a.Method == "":
		return m, fmt.Errorf("nth of at counts connect, frame or method, and there is none")
	}
	switch {
	case a.Connect:
		m = brokertest.OnConnect(a.Nth)
	case a.Frame:
		m = brokertest.OnFrame(a.Nth)
	case a.Method != "":
		if !slices.Contains(brokertest.Methods(), a.Method) {
			return m, fmt.Errorf("AMQP 0-9-1 has no method %q", a.Method)
		}
		m = brokertest.OnMethod(a.Method, a.Nth)
	case a.Received > 0:
		m = brokertest.AfterReceived(a.Received)
	case a.Sent > 0:
		m = brokertest.AfterSent(a.Sent)
	default:
		m = brokertest.Now()
	}
	m = m.Of(a.Name).On(a.Connection).From(a.Peer).OnQueue(a.Queue).In(a.Host)
	if a.Again {
		m = m.Again()
	}
	return m, nil
}
