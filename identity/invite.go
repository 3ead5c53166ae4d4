package identity

import (
	"crypto/sha256"
	"encoding/base32"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/ipfs/go-cid"
	"github.com/libp2p/go-libp2p/core/peer"
	ma "github.com/multiformats/go-multiaddr"

	"github.com/pinfold/pinfold/canon"
)

// What can be wrong with an invite that a person pasted.
var (
	ErrNoInvite  = errors.New("not an invite: an invite starts with \"pinfold1\"")
	ErrCutOff    = errors.New("the invite is cut off")
	ErrTypo      = errors.New("the invite has a typo")
	ErrNewInvite = fmt.Errorf("the invite is %w", ErrNewer)
)

// Invite is what a peer needs to join a cluster. It is a secret.
type Invite struct {
	Cluster ClusterID
	Name    string
	Secret  Secret
	Peers   []peer.AddrInfo // members and where they may be found
}

// An invite's text is one word of lower-case letters and digits:
//
//	"pinfold1" base32(length(2) | first 3 bytes of its hash | body | first 5 bytes of the body's hash)
//
// The 1 is the version, which no base32 digit can be. The length comes first and
// has a check of its own, so that a missing end is told from a typo.
const (
	inviteWord    = "pinfold"
	inviteVersion = '1'
	inviteHead    = 5 // bytes: 8 characters exactly
	inviteTail    = 5
	inviteLimit   = 16384
)

// inviteCode is base32 in the small alphabet: no character of it means anything
// to a shell or to a chat program.
func inviteCode() *base32.Encoding {
	return base32.NewEncoding("abcdefghijklmnopqrstuvwxyz234567").WithPadding(base32.NoPadding)
}

type inviteBody struct {
	Cluster []byte       `cbor:"c"`
	Name    string       `cbor:"n"`
	Secret  []byte       `cbor:"s"`
	Peers   []invitePeer `cbor:"p"`
}

type invitePeer struct {
	ID    []byte   `cbor:"id"`
	Addrs [][]byte `cbor:"a"`
}

// String returns the text to give to the one who is invited. It contains the
// secret.
func (i Invite) String() string {
	id, err := cid.Decode(string(i.Cluster))
	if err != nil {
		return "" // an Invite without a cluster is none
	}
	body := inviteBody{Cluster: id.Bytes(), Name: i.Name, Secret: i.Secret[:]}
	for _, p := range i.Peers {
		w := invitePeer{ID: []byte(p.ID)}
		for _, a := range p.Addrs {
			w.Addrs = append(w.Addrs, a.Bytes())
		}
		body.Peers = append(body.Peers, w)
	}
	raw, err := canon.Marshal(body)
	if err != nil || len(raw) > inviteLimit {
		return ""
	}
	return inviteWord + string(inviteVersion) + inviteCode().EncodeToString(frameInvite(raw))
}

// GoString hides the secret.
func (i Invite) GoString() string { return "identity.Invite{" + i.Name + "}" }

// LogValue hides the secret.
func (i Invite) LogValue() slog.Value { return slog.StringValue("invite to " + i.Name) }

func frameInvite(body []byte) []byte {
	head := binary.BigEndian.AppendUint16(nil, uint16(len(body)))
	check := sha256.Sum256(head)
	sum := sha256.Sum256(body)
	out := append(head, check[:inviteHead-2]...)
	out = append(out, body...)
	return append(out, sum[:inviteTail]...)
}

// ParseInvite reads what String wrote, however a chat program has broken, quoted
// or capitalised it. Errors wrap ErrNoInvite, ErrCutOff, ErrTypo or ErrNewer and
// never contain the text.
func ParseInvite(text string) (Invite, error) {
	word := bareWord(text)
	rest, ok := strings.CutPrefix(word, inviteWord)
	if !ok {
		return Invite{}, ErrNoInvite
	}
	if rest == "" {
		return Invite{}, ErrCutOff
	}
	if rest[0] != inviteVersion {
		if strings.ContainsRune("089", rune(rest[0])) || rest[0] >= '2' && rest[0] <= '7' {
			return Invite{}, fmt.Errorf("%w (version %c)", ErrNewInvite, rest[0])
		}
		return Invite{}, ErrNoInvite
	}
	body, err := unframeInvite(rest[1:])
	if err != nil {
		return Invite{}, err
	}
	return openInvite(body)
}

// bareWord drops what is not part of an invite: white space, line breaks, marks
// of quoting, invisible characters.
func bareWord(text string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case unicode.IsSpace(r), unicode.Is(unicode.Cf, r), strings.ContainsRune("\"'`<>*_|.,;:-()[]„“”‚‘’«»", r):
			return -1
		}
		return unicode.ToLower(r)
	}, text)
}

func unframeInvite(digits string) ([]byte, error) {
	code := inviteCode()
	const headDigits = inviteHead * 8 / 5
	if len(digits) < headDigits {
		return nil, fmt.Errorf("%w: only %d characters", ErrCutOff, len(digits))
	}
	if err := checkDigits(digits[:headDigits]); err != nil {
		return nil, err
	}
	head, err := code.DecodeString(digits[:headDigits])
	if err != nil {
		return nil, fmt.Errorf("%w near its beginning", ErrTypo)
	}
	if check := sha256.Sum256(head[:2]); string(check[:inviteHead-2]) != string(head[2:]) {
		return nil, fmt.Errorf("%w near its beginning", ErrTypo)
	}
	size := int(binary.BigEndian.Uint16(head))
	want := code.EncodedLen(inviteHead + size + inviteTail)
	if err := checkDigits(digits[:min(want, len(digits))]); err != nil {
		return nil, err
	}
	if len(digits) < want {
		return nil, fmt.Errorf("%w: it has %d of %d characters", ErrCutOff, len(digits), want)
	}
	if len(digits) > want {
		return nil, fmt.Errorf("%w: %d characters too many (is something else pasted behind it?)", ErrTypo, len(digits)-want)
	}
	raw, err := code.DecodeString(digits)
	if err != nil {
		return nil, ErrTypo
	}
	body, sum := raw[inviteHead:inviteHead+size], raw[inviteHead+size:]
	if want := sha256.Sum256(body); string(want[:inviteTail]) != string(sum) {
		return nil, fmt.Errorf("%w: ask for it again, or copy it again", ErrTypo)
	}
	return body, nil
}

func checkDigits(digits string) error {
	i := strings.IndexFunc(digits, func(r rune) bool { return (r < 'a' || r > 'z') && (r < '2' || r > '7') })
	if i < 0 {
		return nil
	}
	wrong, _ := utf8.DecodeRuneInString(digits[i:])
	return fmt.Errorf("%w: %q cannot occur in it (character %d after pinfold1)", ErrTypo, wrong, i+1)
}

func openInvite(body []byte) (Invite, error) {
	var w inviteBody
	if _, err := decodeExact(body, &w); err != nil {
		return Invite{}, fmt.Errorf("read invite: %w", err)
	}
	id, err := cid.Cast(w.Cluster)
	if err != nil {
		return Invite{}, fmt.Errorf("read invite: cluster id: %w", err)
	}
	i := Invite{Name: w.Name}
	if i.Cluster, err = ParseClusterID(id.String()); err != nil {
		return Invite{}, fmt.Errorf("read invite: %w", err)
	}
	if err := checkName("cluster", w.Name); err != nil {
		return Invite{}, fmt.Errorf("read invite: %w", err)
	}
	if len(w.Secret) != len(i.Secret) {
		return Invite{}, fmt.Errorf("read invite: secret of %d bytes", len(w.Secret))
	}
	i.Secret = Secret(w.Secret)
	for _, p := range w.Peers {
		info, err := p.open()
		if err != nil {
			return Invite{}, fmt.Errorf("read invite: %w", err)
		}
		i.Peers = append(i.Peers, info)
	}
	return i, nil
}

func (p invitePeer) open() (peer.AddrInfo, error) {
	id, err := peer.IDFromBytes(p.ID)
	if err == nil {
		err = checkPeer(id)
	}
	if err != nil {
		return peer.AddrInfo{}, err
	}
	info := peer.AddrInfo{ID: id}
	for _, raw := range p.Addrs {
		a, err := ma.NewMultiaddrBytes(raw)
		if err != nil {
			return peer.AddrInfo{}, fmt.Errorf("address of %s: %w", id, err)
		}
		info.Addrs = append(info.Addrs, a)
	}
	return info, nil
}
