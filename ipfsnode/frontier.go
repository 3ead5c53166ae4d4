package ipfsnode

import (
	"encoding/binary"
	"fmt"
	"io"
	"os"
	"sync"

	"github.com/ipfs/go-cid"
)

// frontierInMemory is how many blocks to visit are kept in memory; half of them go
// to a file when they are more, so that a DAG of wide nodes needs no more than
// about 8 MiB.
const frontierInMemory = 1 << 16

// frontier is the blocks that a walk has still to visit, the latest found first
// (which keeps it short), and the workers' place to wait.
type frontier struct {
	dir    string
	limit  int
	serial sync.Mutex // for walk.found

	mu    sync.Mutex
	wake  sync.Cond
	stack []visit
	busy  int
	err   error

	file   *os.File
	chunks []int64 // where each chunk in file begins
	end    int64
}

func newFrontier(dir string) *frontier {
	f := &frontier{dir: dir, limit: frontierInMemory}
	f.wake.L = &f.mu
	return f
}

func (f *frontier) push(vs []visit) error {
	if len(vs) == 0 {
		return nil
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.stack = append(f.stack, vs...)
	for len(f.stack) > f.limit {
		if err := f.spill(f.stack[:f.limit/2]); err != nil {
			return err
		}
		f.stack = append(f.stack[:0], f.stack[f.limit/2:]...)
	}
	f.wake.Broadcast()
	return nil
}

// next returns a block to visit, and done must be called after it; or false when the
// walk is over or has failed.
func (f *frontier) next() (visit, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for f.err == nil {
		if len(f.stack) == 0 && len(f.chunks) > 0 {
			if err := f.unspill(); err != nil {
				f.err = err
				break
			}
		}
		if n := len(f.stack); n > 0 {
			v := f.stack[n-1]
			f.stack = f.stack[:n-1]
			f.busy++
			return v, true
		}
		if f.busy == 0 {
			break
		}
		f.wake.Wait()
	}
	f.wake.Broadcast()
	return visit{}, false
}

func (f *frontier) done() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.busy--; f.busy == 0 {
		f.wake.Broadcast()
	}
}

// fail ends the walk; the first error stays.
func (f *frontier) fail(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.err == nil {
		f.err = err
	}
	f.wake.Broadcast()
}

func (f *frontier) spill(vs []visit) error {
	if f.file == nil {
		file, err := os.CreateTemp(f.dir, "frontier-")
		if err != nil {
			return fmt.Errorf("spill blocks to visit: %w", err)
		}
		f.file = file
	}
	var b []byte
	for _, v := range vs {
		var flags byte
		if v.fresh {
			flags |= 1
		}
		if v.descend {
			flags |= 2
		}
		b = append(b, flags)
		b = binary.AppendUvarint(b, uint64(v.cid.ByteLen()))
		b = append(b, v.cid.Bytes()...)
	}
	if _, err := f.file.WriteAt(b, f.end); err != nil {
		return fmt.Errorf("spill blocks to visit: %w", err)
	}
	f.chunks = append(f.chunks, f.end)
	f.end += int64(len(b))
	return nil
}

func (f *frontier) unspill() error {
	last := len(f.chunks) - 1
	start := f.chunks[last]
	b := make([]byte, f.end-start)
	if _, err := f.file.ReadAt(b, start); err != nil && err != io.EOF {
		return fmt.Errorf("read blocks to visit: %w", err)
	}
	f.chunks, f.end = f.chunks[:last], start
	for len(b) > 0 {
		n, used := binary.Uvarint(b[1:])
		flags := b[0]
		b = b[1+used:]
		c, err := cid.Cast(b[:n])
		if err != nil {
			return fmt.Errorf("read blocks to visit: %w", err)
		}
		b = b[n:]
		f.stack = append(f.stack, visit{c, flags&1 != 0, flags&2 != 0})
	}
	return nil
}

func (f *frontier) close() {
	if f.file != nil {
		// What cannot be removed now is removed at the next start, with all of tmp.
		_ = f.file.Close()
		_ = os.Remove(f.file.Name())
	}
}
