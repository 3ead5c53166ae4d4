package identity

import (
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"strings"

	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/pnet"
)

// ErrSecret is returned where a secret is not the cluster's.
var ErrSecret = errors.New("not the cluster's secret")

// Secret is what every member of a cluster knows and nobody else. Keys for
// different uses are derived from it by HKDF-SHA256; it is never used itself.
type Secret [32]byte

const (
	pskInfo       = "pinfold/psk/1"
	admissionInfo = "pinfold/admission/1"
	proofContext  = "pinfold/proof/1\x00"
	hidden        = "[secret]"
)

// NewSecret draws a secret.
func NewSecret() (Secret, error) {
	var s Secret
	if _, err := rand.Read(s[:]); err != nil {
		return Secret{}, fmt.Errorf("make secret: %w", err)
	}
	return s, nil
}

// ParseSecret reads 64 hexadecimal digits.
func ParseSecret(text string) (Secret, error) {
	raw, err := hex.DecodeString(strings.TrimSpace(text))
	if err != nil || len(raw) != len(Secret{}) {
		return Secret{}, fmt.Errorf("read secret: want %d hexadecimal digits", 2*len(Secret{}))
	}
	return Secret(raw), nil
}

// LoadSecret reads what Save wrote; see LoadKey for the errors.
func LoadSecret(path string) (Secret, error) {
	text, err := readPrivate(path)
	if err != nil {
		return Secret{}, fmt.Errorf("load secret: %w", err)
	}
	s, err := ParseSecret(string(text))
	if err != nil {
		return Secret{}, fmt.Errorf("load secret %s: %w", path, err)
	}
	return s, nil
}

// Save writes the secret to a file with mode 0600.
func (s Secret) Save(path string) error {
	if err := writePrivate(path, []byte(hex.EncodeToString(s[:])+"\n")); err != nil {
		return fmt.Errorf("save secret: %w", err)
	}
	return nil
}

// PSK is the key of the libp2p private network.
func (s Secret) PSK() pnet.PSK { return s.derive(pskInfo) }

// Proof shows that whoever made the record of id in cluster c knows the secret;
// whoever knows it too can check it, and nobody else can make one.
func (s Secret) Proof(c ClusterID, id peer.ID) []byte {
	return proof(s.derive(admissionInfo), c, id)
}

// String hides the secret.
func (Secret) String() string { return hidden }

// GoString hides the secret.
func (Secret) GoString() string { return hidden }

// LogValue hides the secret.
func (Secret) LogValue() slog.Value { return slog.StringValue(hidden) }

// MarshalText hides the secret from encoders; Save is the way to keep it.
func (Secret) MarshalText() ([]byte, error) { return []byte(hidden), nil }

func (s Secret) derive(info string) []byte {
	key, err := hkdf.Key(sha256.New, s[:], nil, info, sha256.Size)
	if err != nil {
		panic(err) // 32 bytes are within HKDF's limit
	}
	return key
}

// admissionHash stands in the founding record: it says which secret is right
// without helping to find it.
func (s Secret) admissionHash() []byte {
	h := sha256.Sum256(s.derive(admissionInfo))
	return h[:]
}

func proof(admission []byte, c ClusterID, id peer.ID) []byte {
	mac := hmac.New(sha256.New, admission)
	mac.Write([]byte(proofContext + string(c) + "\x00" + string(id)))
	return mac.Sum(nil)
}
