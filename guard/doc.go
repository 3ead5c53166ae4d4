// Package guard keeps web pages out of an API on loopback. A page that the user
// looks at can make the browser send any GET and many POSTs there, so every
// endpoint asks where a request comes from, as Kubo's RPC does:
//
//   - Host must be an address, localhost or a configured name: a foreign name that
//     was made to resolve to us (DNS rebinding) is none of these.
//   - Origin and Referer, where present, must be our own (the request's host, or
//     loopback at our port) or configured.
//   - A browser (by its user agent) that says neither is refused, but for a page
//     that the user typed in, which it marks by Sec-Fetch-Site.
//
// A unix socket has no host and no own origin: browsers do not speak it, and what
// passes one on would pass it on with full rights.
//
// It also binds the doors' listeners, serves on them until it shall stop, and takes
// the token out of a request. Who a token is, and what it may do, is for others.
package guard
