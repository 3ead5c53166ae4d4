package client

import (
	"bufio"
	"context"
	"io"
	"iter"
	"net/http"
	"net/url"

	"github.com/pinfold/pinfold/pinset"
)

// Export yields the lines of an export of the pinset, without their ends, each valid
// until the next. It is whole when no error came.
func (c *Client) Export(ctx context.Context) iter.Seq2[[]byte, error] {
	return eachLine(ctx, c, request{method: http.MethodGet, path: "/state/export"}, func(line []byte) ([]byte, error) { return line, nil })
}

// Import has the daemon pin what is read from lines: an export of pinfold's, or of
// ipfs-cluster's.
func (c *Client) Import(ctx context.Context, lines io.Reader, o pinset.ImportOptions) (pinset.Import, error) {
	q := url.Values{}
	if o.DryRun {
		q.Set("dry-run", "true")
	}
	if o.Replace {
		q.Set("replace", "true")
	}
	var out pinset.Import
	body := io.NopCloser(bufio.NewReaderSize(lines, 64<<10))
	err := c.ask(ctx, request{method: http.MethodPost, path: "/state/import", query: q, kind: "application/x-ndjson", body: body}, &out)
	return out, err
}
