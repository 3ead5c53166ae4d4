package ipfsclient

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"math"
	"mime/multipart"

	"github.com/ipfs/go-cid"
	"github.com/multiformats/go-multibase"

	"github.com/pinfold/pinfold/pinset"
)

// RepoStat implements Storage. It asks only for the size, since Kubo would count
// every block for the rest, and takes the free space from Kubo's own look at its
// disk, which is right also when the two of us see different file systems. A
// secret that may not call diag/sys leaves Free at 0, not known.
func (c *Client) RepoStat(ctx context.Context) (pinset.RepoStat, error) {
	var size struct{ RepoSize, StorageMax uint64 }
	if err := c.one(ctx, call{name: "repo/stat", args: args("size-only", "true"), wait: c.cfg.Silence}, &size); err != nil {
		return pinset.RepoStat{}, fmt.Errorf("ask size of repository: %w", err)
	}
	stat := pinset.RepoStat{Used: size.RepoSize, Max: size.StorageMax}
	if stat.Max == math.MaxUint64 {
		stat.Max = 0 // Kubo's way to say no limit
	}
	var sys struct {
		DiskInfo struct {
			Free  uint64 `json:"free_space"`
			Total uint64 `json:"total_space"`
		} `json:"diskinfo"`
	}
	err := c.one(ctx, call{name: "diag/sys", wait: c.cfg.Silence}, &sys)
	if err != nil && !errors.Is(err, ErrAuth) && !saidSo(err) {
		return pinset.RepoStat{}, fmt.Errorf("ask free space: %w", err)
	}
	// What Kubo calls total is what it may still use, and what it calls free has
	// root's reserve in it. Where the names are right, the lesser is right as well.
	stat.Free = min(sys.DiskInfo.Free, sys.DiskInfo.Total)
	return stat, nil
}

// GC implements Storage. Blocks that Kubo could not remove are one error at the
// end, which says the first reason and how many there were.
func (c *Client) GC(ctx context.Context) iter.Seq2[cid.Cid, error] {
	return func(yield func(cid.Cid, error) bool) {
		if err := c.collect(ctx, func(k cid.Cid) bool { return yield(k, nil) }); err != nil {
			yield(cid.Undef, fmt.Errorf("collect garbage: %w", err))
		}
	}
}

func (c *Client) collect(ctx context.Context, yield func(cid.Cid) bool) error {
	r, err := c.start(ctx, call{name: "repo/gc", args: args("stream-errors", "true"), wait: c.cfg.Patience})
	if err != nil {
		return err
	}
	defer r.close()
	var first string
	var failed int
	for {
		var m gcMessage
		err := r.next(&m)
		switch {
		case failed > 0 && (errors.Is(err, io.EOF) || saidSo(err)):
			return pinset.Errorf(pinset.KindInternal, "%d blocks stayed: %s", failed, first)
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return err
		case m.Error != "":
			if failed++; failed == 1 {
				first = m.Error
			}
			continue
		}
		k, err := m.cid()
		if err != nil {
			return unusable(ErrNotIPFS, c.cfg.API, err.Error())
		}
		if !yield(k) {
			return nil
		}
	}
}

// Identity implements Swarm.
func (c *Client) Identity(ctx context.Context) (pinset.NodeID, error) {
	var m idMessage
	if err := c.one(ctx, call{name: "id", wait: c.cfg.Silence}, &m); err != nil {
		return pinset.NodeID{}, fmt.Errorf("ask identity: %w", err)
	}
	id, err := m.identity()
	if err != nil {
		return id, unusable(ErrNotIPFS, c.cfg.API, err.Error())
	}
	return id, nil
}

// Sign implements Swarm.
func (c *Client) Sign(ctx context.Context, data []byte) ([]byte, error) {
	var body bytes.Buffer
	form := multipart.NewWriter(&body)
	part, err := form.CreateFormFile("data", "data")
	if err == nil {
		_, err = part.Write(data)
	}
	if err := errors.Join(err, form.Close()); err != nil {
		return nil, fmt.Errorf("ask ipfs node to sign: %w", err)
	}
	var m struct{ Signature string }
	err = c.one(ctx, call{name: "key/sign", args: args("key", "self"), wait: c.cfg.Silence, body: io.NopCloser(&body), kind: form.FormDataContentType()}, &m)
	if err != nil {
		return nil, fmt.Errorf("ask ipfs node to sign: %w", err)
	}
	_, sig, err := multibase.Decode(m.Signature)
	if err != nil {
		return nil, fmt.Errorf("ask ipfs node to sign: signature %q: %w", m.Signature, err)
	}
	return sig, nil
}

// Connect implements Swarm.
func (c *Client) Connect(ctx context.Context, addrs ...string) error {
	q := args()
	for _, a := range addrs {
		q.Add("arg", a)
	}
	var m struct{ Strings []string }
	if err := c.one(ctx, call{name: "swarm/connect", args: q, wait: c.cfg.Silence}, &m); err != nil {
		return fmt.Errorf("connect ipfs node to %q: %w", addrs, err)
	}
	return nil
}
