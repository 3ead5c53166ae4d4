// Package httpproxy is the IPFS-shaped door: it speaks Kubo's RPC, so that whatever
// speaks to a Kubo can use the cluster as if it were one node. What pins, lists
// pins, brings data in or asks for room is answered by the cluster; what reads or
// describes data goes on to the Kubo behind it, or is answered from the embedded
// node.
//
// It promises:
//
//   - The truth: pin/add ends when the cluster holds enough copies (or as
//     ?pinfold-wait says: accepted, one, min, all), pin/ls says yes only for what is
//     held, repo/stat counts room that copies can use.
//   - Kubo's shape: status codes, headers, trailers, one JSON line for each object,
//     error bodies. A malformed argument is 400 in plain text and changes nothing.
//     Our own refusals are never 404, which Kubo's clients take for "no such command".
//   - Only what the table in table.go names is answered or sent on; the rest needs
//     scope admin. What is sent on is the table's name, never the path as it came.
//   - Web pages stay out of every endpoint (package guard), GET is 405.
//   - Answers stream while bodies are read; memory does not grow with either.
//
// Who asks without a token at a loopback listener has the scopes of
// Config.Anonymous. It leaves to others what a token allows, and where data lies.
package httpproxy
