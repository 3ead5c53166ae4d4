// Package httpapi is the cluster's REST API and its typed client: ipfs-cluster's
// dialect (paths, objects, streams, errors: package dialect), so that its clients
// work, and pinfold's own resources beside it.
//
// The server listens on a unix socket (mode 0600: whoever may open it may do
// everything) and on TCP, by default on loopback, where a token is asked for. It
// promises:
//
//   - Only POST and DELETE change anything; a GET that would is 405.
//   - Before anything else each request passes the rules that keep web pages out
//     (package guard): Host, Origin, Referer, user agent, on every endpoint. Then its
//     token and the scope that the endpoint needs. A refusal is 401 or 403 and
//     says who, what and why; it is never a 404.
//   - What is asked is read strictly: a parameter that does not exist, is given
//     twice or does not parse is 400, names the place, the value and what is
//     possible, and nothing has changed.
//   - Lists and data stream; memory does not grow with them. A stream that fails
//     under way says so in the trailer X-Stream-Error.
//
// New binds, Run serves, the addresses are known in between. What is served stands
// behind small interfaces (roles.go); httpapi knows no other room.
//
// The client is package client, the JSON package dialect. The API's document is
// docs/openapi.json; a test holds it to the table in route.go.
package httpapi
