package ipfsclient

import (
	"context"
	"fmt"
	"io"
	"maps"
	"net/http"
)

// Forward sends somebody else's call as it is and returns the answer, whatever its
// status; the caller closes it. The answer may begin while the body is still read,
// which goes on until the answer's body is closed. Nothing limits how long the node
// may take but ctx. KindUnavailable: the node is away.
func (c *Client) Forward(ctx context.Context, name, query string, header http.Header, body io.Reader) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.base+name+"?"+query, body)
	if err != nil {
		return nil, fmt.Errorf("ipfs %s: %w", name, err)
	}
	maps.Copy(req.Header, header)
	if c.auth != "" {
		req.Header.Set("Authorization", c.auth)
	}
	req.Header.Set("User-Agent", "pinfold")
	r, err := c.http.Do(req)
	if err != nil {
		return nil, c.failed(ctx, name, err)
	}
	return r, nil
}
