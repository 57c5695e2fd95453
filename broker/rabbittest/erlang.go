package rabbittest

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Eval has the node evaluate an Erlang expression, which ends in a full stop, and returns the value as text: best a number or an
// atom, since whoever evaluates it writes other values in a way of his own. It takes milliseconds, since erl_call is a small C
// program; rabbitmqctl does the same where that is missing.
func (n *Node) Eval(ctx context.Context, expression string) (string, error) {
	if n.tools.erlCall == "" {
		answer, err := n.Ctl(ctx, "eval", expression)
		return strings.TrimSpace(answer), err
	}
	for !n.asking.TryLock() { // two erl_call at once would have the same node name
		select {
		case <-ctx.Done(): // the one before may wait for long, as when the node is frozen
			return "", fmt.Errorf("rabbittest: node %s has not answered another question yet: %w", n.name, ctx.Err())
		case <-time.After(10 * time.Millisecond):
		}
	}
	defer n.asking.Unlock()
	var answer string
	var err error
	for range 5 { // a busy node refuses a connection now and then; nothing has been evaluated then
		answer, err = n.run(ctx, expression+"\n", n.tools.erlCall, "-e", "-n", n.name)
		if err == nil || ctx.Err() != nil || !strings.Contains(err.Error(), "failed to connect to node") {
			break
		}
		time.Sleep(200 * time.Millisecond)
	}
	if err != nil {
		return "", err
	}
	value, ok := strings.CutPrefix(answer, "{ok, ")
	if !ok {
		return "", fmt.Errorf("rabbittest: node %s: %s", n.name, answer)
	}
	return strings.TrimSuffix(value, "}"), nil
}

// Call has the node call an Erlang function with texts, such as "rabbit_auth_backend_internal:add_user" with a name, a password
// and who does it. It fails unless the answer is ok.
func (n *Node) Call(ctx context.Context, function string, texts ...string) error {
	arguments := make([]string, len(texts))
	for i, text := range texts {
		arguments[i] = octets(text)
	}
	if err := n.expect(ctx, function+"("+strings.Join(arguments, ", ")+")."); err != nil {
		return fmt.Errorf("%s%q: %w", function, texts, err)
	}
	return nil
}

// expect evaluates what gives ok when it has worked.
func (n *Node) expect(ctx context.Context, expression string) error {
	answer, err := n.Eval(ctx, expression)
	if err == nil && answer != "ok" {
		err = fmt.Errorf("rabbittest: node %s answered %s", n.name, answer)
	}
	return err
}

// octets is a text as an Erlang binary, in numbers, so that no name needs quoting.
func octets(text string) string {
	return "list_to_binary(" + strings.Join(strings.Fields(fmt.Sprint([]byte(text))), ",") + ")"
}

// onQueue calls a function of Erlang's module sys for the process of a queue.
const onQueue = `
case rabbit_amqqueue:lookup(rabbit_misc:r(<<"/">>, queue, %s)) of
	{ok, Q} -> sys:%s(amqqueue:get_pid(Q));
	{error, Reason} -> Reason
end.
`

// SuspendQueue stops the process of a queue of virtual host "/": it does nothing, and answers nobody, until
// ResumeQueue. Of a quorum queue that is its leader.
func (n *Node) SuspendQueue(ctx context.Context, queue string) error {
	return n.expect(ctx, fmt.Sprintf(onQueue, octets(queue), "suspend"))
}

// ResumeQueue undoes SuspendQueue.
func (n *Node) ResumeQueue(ctx context.Context, queue string) error {
	return n.expect(ctx, fmt.Sprintf(onQueue, octets(queue), "resume"))
}

// setMaxMessageSize is read from one place or the other, by version.
const setMaxMessageSize = `
Before = application:get_env(rabbit, max_message_size, 134217728),
application:set_env(rabbit, max_message_size, %[1]d),
persistent_term:put(max_message_size, %[1]d),
Before.
`

// MaxMessageSize sets how many bytes a body may have, on channels that are opened from now on, and returns how many it was
// before.
func (n *Node) MaxMessageSize(ctx context.Context, bytes int) (before int, err error) {
	answer, err := n.Eval(ctx, fmt.Sprintf(setMaxMessageSize, bytes))
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(answer)
}
