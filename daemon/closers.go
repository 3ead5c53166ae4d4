package daemon

import (
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"
)

// closers is the one stack on which every opened part pushes how it is closed. A
// failed start and a stop unwind the same stack.
type closers struct {
	log   *slog.Logger
	stack []closer
}

type closer struct {
	name string
	do   func() error
}

// closeTimeout bounds the wait for one part: a hung part must not keep the others
// from closing.
const closeTimeout = 20 * time.Second

func (c *closers) push(name string, do func() error) {
	c.stack = append(c.stack, closer{name, do})
}

// unwind closes in the reverse order and names what failed.
func (c *closers) unwind() error {
	var errs []error
	for _, part := range slices.Backward(c.stack) {
		done := make(chan error, 1)
		go func() { done <- part.do() }()
		select {
		case err := <-done:
			if err != nil {
				errs = append(errs, fmt.Errorf("close %s: %w", part.name, err))
			}
		case <-time.After(closeTimeout):
			errs = append(errs, fmt.Errorf("close %s: not done after %s", part.name, closeTimeout))
		}
		c.log.Debug("closed", "component", part.name)
	}
	c.stack = nil
	return errors.Join(errs...)
}
