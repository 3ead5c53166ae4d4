package httpapi

import (
	"context"
	"net/http"

	"github.com/pinfold/pinfold/pinset"
)

// State tells what the replicated state is made of, and makes it smaller.
type State interface {
	StateInfo(ctx context.Context) (pinset.StateInfo, error)
	// Compact asks all members for a new epoch and returns at once; StateInfo tells
	// how far it is. Asking again changes nothing.
	Compact(ctx context.Context) error
}

func (c *call) state() (State, error) {
	cl, err := c.cluster()
	if err != nil {
		return nil, err
	}
	if cl.State == nil {
		return nil, notOffered("state")
	}
	return cl.State, nil
}

func (s *Server) stateInfo(c *call) error {
	st, err := c.state()
	if err != nil {
		return err
	}
	info, err := st.StateInfo(c.ctx())
	if err != nil {
		return err
	}
	return c.json(info)
}

func (s *Server) compact(c *call) error {
	st, err := c.state()
	if err != nil {
		return err
	}
	if err := st.Compact(c.ctx()); err != nil {
		return err
	}
	c.w.WriteHeader(http.StatusNoContent)
	return nil
}
