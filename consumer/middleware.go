package consumer

import "slices"

// Middleware does something before and after a Handler: it returns one that calls the next.
type Middleware func(next Handler) Handler

// Chain returns the handler with all of the middleware around it. The first is the outermost: it begins
// first and ends last.
func Chain(handler Handler, middleware ...Middleware) Handler {
	for _, around := range slices.Backward(middleware) {
		handler = around(handler)
	}
	return handler
}
