package ipfsclient

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/ipfs/go-cid"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/pinfold/pinfold/pinset"
)

// maxMessage bounds one line of an answer, in bytes: an IPFS node that sends more
// is broken or means ill.
const maxMessage = 4 << 20

// lines splits an answer into its messages: one JSON value a line.
type lines struct{ *bufio.Scanner }

func newLines(r io.Reader) lines {
	s := bufio.NewScanner(r)
	s.Buffer(nil, maxMessage)
	return lines{s}
}

// next reads the next message into v, io.EOF after the last one.
func (l lines) next(v any) error {
	for l.Scan() {
		line := bytes.TrimSpace(l.Bytes())
		if len(line) == 0 {
			continue
		}
		if err := json.Unmarshal(line, v); err != nil {
			return fmt.Errorf("%w: %q: %w", errGarbled, firstLine(line), err)
		}
		return nil
	}
	if err := l.Err(); errors.Is(err, bufio.ErrTooLong) {
		return fmt.Errorf("%w: more than %d bytes in one line", errGarbled, maxMessage)
	} else if err != nil {
		return err
	}
	return io.EOF
}

var errGarbled = errors.New("not the JSON it should be")

// decodeError reads {"Message": …} and says whether body was that.
func decodeError(body []byte) (string, bool) {
	var e struct{ Message *string }
	if json.Unmarshal(body, &e) != nil || e.Message == nil {
		return "", false
	}
	return *e.Message, true
}

type versionMessage struct{ Version string }

// parseVersion reads the first two numbers of "0.42.0", "0.43.0-dev".
func parseVersion(s string) (Version, error) {
	parts := strings.SplitN(strings.TrimPrefix(s, "v"), ".", 3)
	if len(parts) < 2 {
		return Version{}, fmt.Errorf("version %q: want numbers as in 0.42.0", s)
	}
	major, err1 := strconv.ParseUint(parts[0], 10, 16)
	minor, err2 := strconv.ParseUint(parts[1], 10, 16)
	if err := errors.Join(err1, err2); err != nil {
		return Version{}, fmt.Errorf("version %q: %w", s, err)
	}
	return Version{uint16(major), uint16(minor)}, nil
}

// pinMessage is a line of pin/ls?stream=true.
type pinMessage struct{ Cid, Name, Type string }

func (m pinMessage) pin() (pinset.NodePin, error) {
	c, err := cid.Decode(m.Cid)
	if err != nil {
		return pinset.NodePin{}, fmt.Errorf("%w: cid %q: %w", errGarbled, firstLine([]byte(m.Cid)), err)
	}
	if m.Type == "" {
		return pinset.NodePin{}, fmt.Errorf("%w: pin %s without a type", errGarbled, c)
	}
	mode, err := pinset.ParseMode(m.Type)
	if err != nil {
		return pinset.NodePin{}, fmt.Errorf("%w: pin %s of type %q", errGarbled, c, firstLine([]byte(m.Type)))
	}
	return pinset.NodePin{CID: c, Mode: mode, Name: m.Name}, nil
}

// pinAddMessage is a line of pin/add?progress=true.
type pinAddMessage struct {
	Pins            []string
	Progress, Bytes uint64
}

// addMessage is a line of add.
type addMessage struct {
	Name, Hash, Size string
	Bytes            uint64
}

func (m addMessage) added() (pinset.Added, error) {
	a := pinset.Added{Path: m.Name, Bytes: m.Bytes}
	if m.Hash == "" {
		return a, nil
	}
	var err error
	if a.CID, err = cid.Decode(m.Hash); err != nil {
		return a, fmt.Errorf("%w: cid %q: %w", errGarbled, firstLine([]byte(m.Hash)), err)
	}
	if m.Size != "" {
		if a.Size, err = strconv.ParseUint(m.Size, 10, 64); err != nil {
			return a, fmt.Errorf("%w: size: %w", errGarbled, err)
		}
	}
	return a, nil
}

// Types of UnixFS nodes in Kubo's answers.
const (
	unixfsRaw       = 0
	unixfsDirectory = 1
	unixfsFile      = 2
	unixfsSymlink   = 4
	unixfsShard     = 5
)

// linkMessage is an entry of ls.
type linkMessage struct {
	Name, Hash, Target string
	Size               uint64
	Type               int
}

func (m linkMessage) link() (pinset.Link, error) {
	c, err := cid.Decode(m.Hash)
	if err != nil {
		return pinset.Link{}, fmt.Errorf("%w: cid %q: %w", errGarbled, firstLine([]byte(m.Hash)), err)
	}
	return pinset.Link{Name: m.Name, CID: c, Size: m.Size, Dir: m.Type == unixfsDirectory || m.Type == unixfsShard}, nil
}

// lsMessage is a line of ls?stream=true.
type lsMessage struct {
	Objects []struct{ Links []linkMessage }
}

// gcMessage is a line of repo/gc?stream-errors=true.
type gcMessage struct {
	Key   map[string]string // {"/": cid}, null beside an error
	Error string
}

func (m gcMessage) cid() (cid.Cid, error) {
	c, err := cid.Decode(m.Key["/"])
	if err != nil {
		return cid.Undef, fmt.Errorf("%w: cid %q: %w", errGarbled, firstLine([]byte(m.Key["/"])), err)
	}
	return c, nil
}

// idMessage is the answer of id.
type idMessage struct {
	ID, AgentVersion string
	Addresses        []string
}

func (m idMessage) identity() (pinset.NodeID, error) {
	id, err := peer.Decode(m.ID)
	if err != nil {
		return pinset.NodeID{}, fmt.Errorf("%w: peer id %q: %w", errGarbled, firstLine([]byte(m.ID)), err)
	}
	return pinset.NodeID{Peer: id, Addresses: m.Addresses, Agent: m.AgentVersion}, nil
}
