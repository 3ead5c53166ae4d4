package httpapi

import (
	"context"
	"net/http"

	"github.com/pinfold/pinfold/pinset"
)

// Mirrors are the members' wishes to hold what others hold.
type Mirrors interface {
	Mirrors(ctx context.Context) ([]pinset.Mirror, error)
	// AddMirror makes this peer mirror a member (by name or id) or
	// pinset.MirrorAll. Doing it twice is doing it once. KindNotFound: there is no
	// such member.
	AddMirror(ctx context.Context, of string) error
	// RemoveMirror takes the wish back. KindNotFound: there is none.
	RemoveMirror(ctx context.Context, of string) error
}

// mirrorsOf returns the role, if the cluster has it.
func (c *call) mirrorsOf() (Mirrors, error) {
	cl, err := c.cluster()
	if err != nil {
		return nil, err
	}
	if cl.Mirrors == nil {
		return nil, notOffered("mirrors")
	}
	return cl.Mirrors, nil
}

// notOffered is the answer where a cluster lacks what is asked of it.
func notOffered(what string) error {
	return pinset.Errorf(pinset.KindConflict, "this cluster has no %s", what)
}

func (s *Server) mirrors(c *call) error {
	m, err := c.mirrorsOf()
	if err != nil {
		return err
	}
	all, err := m.Mirrors(c.ctx())
	if err != nil {
		return err
	}
	if all == nil {
		all = []pinset.Mirror{}
	}
	return c.json(all)
}

func (s *Server) addMirror(c *call) error {
	return c.changeMirrors(func(m Mirrors) error { return m.AddMirror(c.ctx(), c.arg) })
}

func (s *Server) removeMirror(c *call) error {
	return c.changeMirrors(func(m Mirrors) error { return m.RemoveMirror(c.ctx(), c.arg) })
}

func (c *call) changeMirrors(change func(Mirrors) error) error {
	m, err := c.mirrorsOf()
	if err != nil {
		return err
	}
	if err := change(m); err != nil {
		return err
	}
	return c.empty(http.StatusNoContent)
}
