// Package operator lets tests in any language break a brokertest.Server, and look at it, over HTTP with JSON.
//
//	test ──HTTP──► Handler ──► brokertest.Server ◄──AMQP── what is tested
//
// The requests, all of which answer in JSON:
//
//	POST /faults            plays a fault at a moment: {"fault": "reset", "at": {"method": "basic.ack", "nth": 3}}
//	GET  /faults/ID?wait=5s tells whether that was played, once it was or when the time is over
//	POST /actions           does at once what an operator does: {"action": "publish", "queue": "q", "bodies": ["1", "2"]}
//	GET  /api/connections, DELETE /api/connections/NAME, as RabbitMQ's management plugin has them
//	GET  /queues, /connections, /settlements, /ignored
//
// [Fault], [At] and [Action] have the fields. An error is answered with status 400 and {"error": "..."}: also a fault that can never
// be played, and a field that is missing or that the fault or the action has not.
//
// It guards nothing: whoever reaches it commands the broker.
package operator
