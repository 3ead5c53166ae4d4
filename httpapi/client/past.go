package client

import (
	"context"
	"iter"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/pinfold/pinfold/httpapi/dialect"
	"github.com/pinfold/pinfold/pinset"
)

func removedQuery(f pinset.RemovedFilter) url.Values {
	q := url.Values{}
	var ids []string
	for _, id := range f.CIDs {
		ids = append(ids, id.String())
	}
	if len(ids) > 0 {
		q.Set("cids", strings.Join(ids, ","))
	}
	if f.Name != "" {
		q.Set("name", f.Name)
	}
	if !f.Since.IsZero() {
		q.Set("since", f.Since.UTC().Format(time.RFC3339))
	}
	if f.Owned {
		q.Set("owner", f.Owner)
	}
	return q
}

// Removed lists removed pins that can be restored, the latest removal first.
func (c *Client) Removed(ctx context.Context, f pinset.RemovedFilter) iter.Seq2[pinset.Removed, error] {
	return eachLine(ctx, c, request{method: http.MethodGet, path: "/removed", query: removedQuery(f)}, dialect.DecodeRemoved)
}

// Restore pins again what was removed and yields each pin when it is durable. A
// filter that names nothing means everything.
func (c *Client) Restore(ctx context.Context, f pinset.RemovedFilter) iter.Seq2[pinset.Pin, error] {
	q := removedQuery(f)
	if len(f.CIDs) == 0 && f.Name == "" && f.Since.IsZero() {
		q.Set("all", "true")
	}
	return eachLine(ctx, c, request{method: http.MethodPost, path: "/removed/restore", query: q}, func(line []byte) (pinset.Pin, error) {
		p, err := dialect.DecodePin(line)
		return p.Pin, err
	})
}

// Merges lists what came together at the daemon's peer, the latest first.
func (c *Client) Merges(ctx context.Context) ([]pinset.Merge, error) {
	var in []dialect.Merge
	if err := c.ask(ctx, request{method: http.MethodGet, path: "/merges"}, &in); err != nil {
		return nil, err
	}
	out := make([]pinset.Merge, len(in))
	for i, o := range in {
		var err error
		if out[i], err = o.Value(); err != nil {
			return nil, err
		}
	}
	return out, nil
}
