package main_test

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"os"
	"strings"
	"testing"

	"github.com/ipfs/boxo/ipld/merkledag"
	"github.com/ipfs/go-cid"
	ipld "github.com/ipfs/go-ipld-format"
	"github.com/libp2p/go-libp2p/core/peer"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/pinfold/pinfold/canon"
	"github.com/pinfold/pinfold/cluster"
	"github.com/pinfold/pinfold/identity"
	"github.com/pinfold/pinfold/pinset"
)

// examples reads the fenced blocks "```example NAME" of docs/protocol.md, as their
// lines.
func examples(t *testing.T) map[string][]string {
	t.Helper()
	raw, err := os.ReadFile("docs/protocol.md")
	if err != nil {
		t.Fatal(err)
	}
	out := map[string][]string{}
	for i, part := range strings.Split(string(raw), "```") {
		if name, body, ok := strings.Cut(part, "\n"); ok && i%2 == 1 && strings.HasPrefix(name, "example ") {
			out[strings.TrimPrefix(name, "example ")] = strings.Split(strings.TrimSpace(body), "\n")
		}
	}
	return out
}

func fromHex(t *testing.T, lines []string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.Join(lines, ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestTheProtocolsExamplesAreTrue(t *testing.T) {
	ex := examples(t)
	founding, err := identity.ParseFounding(fromHex(t, ex["founding"]))
	if err != nil {
		t.Fatal("founding:", err)
	}
	id := identity.ClusterID(ex["cluster-id"][0])
	if founding.ID() != id {
		t.Errorf("the founding record has the id %s, the page says %s", founding.ID(), id)
	}
	invite, err := identity.ParseInvite(strings.Join(ex["invite"], "\n"))
	if err != nil || invite.Cluster != id {
		t.Errorf("invite: to %s, %v", invite.Cluster, err)
	} else if err := founding.CheckSecret(invite.Secret); err != nil {
		t.Error("the invite's secret:", err)
	}
	if pin, err := pinset.Check(ex["pin"][0], fromHex(t, ex["pin"][1:])); err != nil || pin.Name != "my archive" {
		t.Errorf("pin: %+v, %v", pin, err)
	}
	record, err := identity.OpenRecord(id, fromHex(t, ex["record"]))
	if err != nil || !bytes.Equal(record.Proof, invite.Secret.Proof(id, record.Peer)) {
		t.Errorf("record: %+v, %v, or its proof is wrong", record, err)
	}
	if policy, err := identity.DecodePolicy(fromHex(t, ex["policy"])); err != nil || policy.Min != 2 || policy.Max != 3 {
		t.Errorf("policy: %+v, %v", policy, err)
	}
	var doc pinset.SignedReceipt
	if err := json.Unmarshal([]byte(strings.Join(ex["receipt"], "\n")), &doc); err != nil {
		t.Error("receipt:", err)
	} else if got, err := cluster.VerifyReceipt(doc, nil); err != nil || !got.Valid || got.Claims.Cluster != string(id) {
		t.Errorf("receipt: %q, %v", got.Faults, err)
	}
	if err := canon.Check(fromHex(t, ex["removal"][1:])); err != nil || !strings.HasPrefix(ex["removal"][0], identity.RemovalPrefix) {
		t.Errorf("removal %q: %v", ex["removal"], err)
	}
}

// TestTheProtocolsDeltaIsSignedAsItSays verifies the example by the page's words
// alone, without the code that makes deltas.
func TestTheProtocolsDeltaIsSignedAsItSays(t *testing.T) {
	ex := examples(t)
	raw := fromHex(t, ex["delta"][1:])
	if c, err := merkledag.V1CidPrefix().Sum(raw); err != nil || c.String() != ex["delta"][0] {
		t.Errorf("CID %s, %v, the page says %s", c, err, ex["delta"][0])
	}
	node, err := merkledag.DecodeProtobuf(raw)
	if err != nil {
		t.Fatal(err)
	}
	rest, head := node.Data(), 0
	for {
		num, typ, n := protowire.ConsumeTag(rest[head:])
		if num == 100 {
			break
		}
		v := protowire.ConsumeFieldValue(num, typ, rest[head+n:])
		if n < 0 || v < 0 {
			t.Fatal("no envelope")
		}
		head += n + v
	}
	_, _, n := protowire.ConsumeTag(rest[head:])
	envelope, _ := protowire.ConsumeBytes(rest[head+n:])
	idLen := int(envelope[1])
	author, err := peer.IDFromBytes(envelope[2 : 2+idLen])
	if envelope[0] != 1 || err != nil {
		t.Fatalf("envelope version %d, author: %v", envelope[0], err)
	}
	if seq := binary.BigEndian.Uint64(envelope[2+idLen:]); seq != 2 {
		t.Errorf("seq %d, want 2", seq)
	}
	unsigned := envelope[:2+idLen+16]
	data := protowire.AppendTag(bytes.Clone(rest[:head]), 100, protowire.BytesType)
	again := merkledag.NodeWithData(protowire.AppendBytes(data, unsigned))
	for _, l := range node.Links() {
		if err := again.AddRawLink("", &ipld.Link{Cid: l.Cid}); err != nil {
			t.Fatal(err)
		}
	}
	body, err := again.EncodeProtobuf(true)
	if err != nil {
		t.Fatal(err)
	}
	message := append([]byte("pinfold/delta/v1\x00"+ex["cluster-id"][0]+"\x00"), body...)
	key, err := author.ExtractPublicKey()
	if err != nil {
		t.Fatal(err)
	}
	if ok, err := key.Verify(message, envelope[2+idLen+16:]); err != nil || !ok {
		t.Errorf("the signature is not what the page says: %v", err)
	}
	if _, err := cid.Decode(ex["delta"][0]); err != nil {
		t.Error(err)
	}
}

// TestTheProtocolsSealsAreTrue reads the seal and the acknowledgement by the words
// of the page.
func TestTheProtocolsSealsAreTrue(t *testing.T) {
	ex := examples(t)
	id := identity.ClusterID(ex["cluster-id"][0])
	author, payload, err := identity.Unseal("seal", id, fromHex(t, ex["seal"]))
	if err != nil {
		t.Fatal("seal:", err)
	}
	var seal struct {
		Epoch   uint64   `cbor:"epoch"`
		Seq     uint64   `cbor:"seq"`
		Members []byte   `cbor:"members"`
		Heads   [][]byte `cbor:"heads"`
	}
	if extra, err := canon.UnmarshalKeeping(payload, &seal); err != nil || len(extra) > 0 {
		t.Errorf("seal: %v, more fields than the page names: %v", err, extra)
	}
	if seal.Epoch != 1 || seal.Seq != 1 || len(seal.Members) != 32 || len(seal.Heads) != 1 || len(seal.Heads[0]) != 32 {
		t.Errorf("seal: %+v", seal)
	}
	by, payload, err := identity.Unseal("ack", id, fromHex(t, ex["ack"]))
	if err != nil {
		t.Fatal("ack:", err)
	}
	var ack struct {
		Epoch uint64 `cbor:"epoch"`
		Seal  uint64 `cbor:"seal"`
		Root  []byte `cbor:"root"`
	}
	if extra, err := canon.UnmarshalKeeping(payload, &ack); err != nil || len(extra) > 0 {
		t.Errorf("ack: %v, more fields than the page names: %v", err, extra)
	}
	if by != author || ack.Epoch != seal.Epoch || ack.Seal != seal.Seq || len(ack.Root) != 32 {
		t.Errorf("ack: %+v by %s", ack, by)
	}
}
