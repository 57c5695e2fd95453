// Package operator lets tests in any language break a brokertest.Server, and look at it, over HTTP with JSON.
//
//	test ──HTTP──► Handler ──► brokertest.Server ◄──AMQP── what is tested
//
// The requests, all of which answer in JSON:
//
//	POST /faults            plays a fault at a moment: {"fault": "reset", "at": {"method": "basic.ack", "nth": 3}}
//	GET  /faults/ID?wait=5s tells whether that was played, once it was or when the time is over
//	POST /publish           puts messages into a queue: {"queue": "q", "bodies": ["1", "2"]}
//	POST /undo              ends a state of the broker: {"what": "stop-app"}, or refuse-connections, or alarm
//	GET  /api/connections, DELETE /api/connections/NAME, as RabbitMQ's management plugin has them
//	GET  /queues, /connections, /settlements, /ignored
//
// [Fault] and [At] have the fields. An error is answered with status 400 and {"error": "..."}: also a fault that can never
// be played.
//
// It guards nothing: whoever reaches it commands the broker.
package operator
