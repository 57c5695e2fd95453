package broker

import "context"

// RefusedArguments are what ExamineQueue declares.
func RefusedArguments() (names []string) {
	for _, r := range refused {
		names = append(names, r.name)
	}
	return names
}

// LearnOf makes one of the declarations of ExamineQueue, whether or not there is such a queue.
func (s *Session) LearnOf(ctx context.Context, queue string, i int) error {
	return s.learn(ctx, queue, refused[i].name, refused[i].value, &QueueFacts{Durable: true})
}
