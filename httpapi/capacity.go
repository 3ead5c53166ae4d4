package httpapi

import "github.com/pinfold/pinfold/httpapi/dialect"

func (s *Server) capacity(c *call) error {
	cl, err := c.cluster()
	if err != nil {
		return err
	}
	sum, err := cl.Members.Capacity(c.ctx())
	if err != nil {
		return err
	}
	return c.json(dialect.NewCapacity(sum))
}
