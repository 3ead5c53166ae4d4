// Package dialect is the JSON that the REST API's server and client share: the
// objects of ipfs-cluster's API with the same field names and shapes, so that its
// clients understand them, and pinfold's own fields beside.
//
// Lists are long, so a pin and the status of a CID are written by hand into a
// caller's buffer (Encoder) and a pin is read by hand (DecodePin); tests hold both
// equal to encoding/json over the plain structs. Everything else is small and goes
// through encoding/json.
//
// Dialect promises that a pinset value written and read again is the same value,
// up to what the JSON does not carry: the unknown fields of a newer version.
// It leaves paths, rights and transport to httpapi.
//
// Source: ipfs-cluster 1.1.6, api/types.go.
package dialect
