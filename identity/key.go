package identity

import (
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/record"
)

// ErrExposed is returned for a file of secrets that others than its owner may
// read or write.
var ErrExposed = errors.New("readable by others")

// ErrForged is returned for a signed thing whose signature is not by whom it
// names, for this kind of thing, in this cluster.
var ErrForged = errors.New("signature does not match")

const (
	keyLine     = "pinfold-key-1 "
	payloadType = "/pinfold" // the libp2p envelope's hint; the domain says the rest
)

// Key is a peer's Ed25519 key. The zero Key is none.
type Key struct {
	private crypto.PrivKey
	id      peer.ID
}

// NewKey makes a fresh key.
func NewKey() (Key, error) {
	private, _, err := crypto.GenerateEd25519Key(rand.Reader)
	if err != nil {
		return Key{}, fmt.Errorf("make key: %w", err)
	}
	return KeyFrom(private)
}

// KeyFrom takes over a libp2p key; only Ed25519 is allowed, whose public half is
// in the peer id.
func KeyFrom(private crypto.PrivKey) (Key, error) {
	if private == nil || private.Type() != crypto.Ed25519 {
		return Key{}, errors.New("use key: want an Ed25519 key")
	}
	id, err := peer.IDFromPrivateKey(private)
	if err != nil {
		return Key{}, fmt.Errorf("use key: %w", err)
	}
	return Key{private: private, id: id}, nil
}

// LoadKey reads what Save wrote. It refuses a file that others may read
// (ErrExposed); a missing file is fs.ErrNotExist.
func LoadKey(path string) (Key, error) {
	text, err := readPrivate(path)
	if err != nil {
		return Key{}, fmt.Errorf("load key: %w", err)
	}
	body, ok := strings.CutPrefix(strings.TrimSpace(string(text)), keyLine)
	if !ok {
		return Key{}, fmt.Errorf("load key %s: does not start with %q", path, keyLine)
	}
	raw, err := base64.StdEncoding.DecodeString(body)
	if err != nil {
		return Key{}, fmt.Errorf("load key %s: damaged", path)
	}
	private, err := crypto.UnmarshalPrivateKey(raw)
	if err != nil {
		return Key{}, fmt.Errorf("load key %s: damaged", path)
	}
	return KeyFrom(private)
}

// Save writes the key to a file with mode 0600, replacing it as a whole.
func (k Key) Save(path string) error {
	raw, err := crypto.MarshalPrivateKey(k.private)
	if err != nil {
		return fmt.Errorf("save key: %w", err)
	}
	text := keyLine + base64.StdEncoding.EncodeToString(raw) + "\n"
	if err := writePrivate(path, []byte(text)); err != nil {
		return fmt.Errorf("save key: %w", err)
	}
	return nil
}

// ID is the peer id; it contains the public key.
func (k Key) ID() peer.ID { return k.id }

// Private is the key as libp2p wants it.
func (k Key) Private() crypto.PrivKey { return k.private }

// String names the peer, never the key.
func (k Key) String() string { return k.id.String() }

// LogValue names the peer, never the key.
func (k Key) LogValue() slog.Value { return slog.StringValue(k.id.String()) }

// checkPeer refuses ids that do not carry an Ed25519 key.
func checkPeer(id peer.ID) error {
	public, err := id.ExtractPublicKey()
	if err != nil || public.Type() != crypto.Ed25519 || !id.MatchesPublicKey(public) {
		return fmt.Errorf("peer id %s: want that of an Ed25519 key", id)
	}
	return nil
}

// readPrivate reads a file of secrets and refuses one that others may use.
func readPrivate(path string) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if exposed(info.Mode()) {
		return nil, fmt.Errorf("%s has mode %04o: %w; run: chmod 600 %s", path, info.Mode().Perm(), ErrExposed, path)
	}
	return os.ReadFile(path)
}

// writePrivate replaces path by a file of mode 0600, synced before it takes the
// name, so that a crash leaves the old or the new content.
func writePrivate(path string, content []byte) (err error) {
	dir := filepath.Dir(path)
	f, err := os.CreateTemp(dir, ".new-*") // mode 0600
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, ignoreMissing(os.Remove(f.Name())))
		}
	}()
	_, err = f.Write(content)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	if err = os.Rename(f.Name(), path); err != nil {
		return err
	}
	return syncDir(dir)
}

func ignoreMissing(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// Seal signs payload as a libp2p signed envelope. kind ("member", "statement")
// and the cluster are in the signed domain, so that no signature is good for
// another use. The result has one encoding.
func Seal(k Key, kind string, c ClusterID, payload []byte) ([]byte, error) {
	e, err := record.Seal(&sealed{domain(kind, c), payload}, k.private)
	if err != nil {
		return nil, fmt.Errorf("sign %s: %w", kind, err)
	}
	b, err := e.Marshal()
	if err != nil {
		return nil, fmt.Errorf("sign %s: %w", kind, err)
	}
	return b, nil
}

// Unseal verifies what Seal wrote and returns its author and payload. Errors
// wrap ErrForged where the signature does not match.
func Unseal(kind string, c ClusterID, raw []byte) (peer.ID, []byte, error) {
	s := sealed{domain: domain(kind, c)}
	e, err := record.ConsumeTypedEnvelope(raw, &s)
	if err != nil {
		if errors.Is(err, record.ErrInvalidSignature) {
			return "", nil, fmt.Errorf("open %s: %w", kind, ErrForged)
		}
		return "", nil, fmt.Errorf("open %s: %w", kind, err)
	}
	id, err := peer.IDFromPublicKey(e.PublicKey)
	if err != nil {
		return "", nil, fmt.Errorf("open %s: %w", kind, err)
	}
	if err := checkPeer(id); err != nil {
		return "", nil, fmt.Errorf("open %s: %w", kind, err)
	}
	again, err := e.Marshal()
	if err != nil || !bytes.Equal(again, raw) || string(e.PayloadType) != payloadType {
		return "", nil, fmt.Errorf("open %s: a second encoding of the same envelope", kind)
	}
	return id, s.payload, nil
}

func domain(kind string, c ClusterID) string { return "pinfold/" + kind + "/1/" + string(c) }

// sealed is a payload as libp2p's record package wants it.
type sealed struct {
	domain  string
	payload []byte
}

func (s *sealed) Domain() string                 { return s.domain }
func (s *sealed) Codec() []byte                  { return []byte(payloadType) }
func (s *sealed) MarshalRecord() ([]byte, error) { return s.payload, nil }
func (s *sealed) UnmarshalRecord(b []byte) error { s.payload = b; return nil }

func peekPayload(raw []byte) ([]byte, error) {
	e, err := record.UnmarshalEnvelope(raw)
	if err != nil {
		return nil, err
	}
	return e.RawPayload, nil
}

// exposed says whether others than the owner may use a file. Windows has no such
// bits.
func exposed(m fs.FileMode) bool { return runtime.GOOS != "windows" && m.Perm()&0o077 != 0 }

// syncDir makes a rename in dir durable, where directories can be synced.
func syncDir(dir string) error {
	if runtime.GOOS == "windows" {
		return nil
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
