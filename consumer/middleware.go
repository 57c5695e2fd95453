package consumer

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
)

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

// JSON returns a Handler that reads the body as JSON into a new T and calls handle with it. A body that is
// no such JSON is a [Permanent] error: it is not tried again, and goes where Retry.Poison says. Members that
// T does not have are ignored, as json.Unmarshal does.
func JSON[T any](handle func(ctx context.Context, value T, d *Delivery) error) Handler {
	return func(ctx context.Context, d *Delivery) error {
		var value T
		if err := json.Unmarshal(d.Body, &value); err != nil {
			return Permanent(fmt.Errorf("the body is no JSON of a %T: %w", value, err))
		}
		return handle(ctx, value, d)
	}
}
