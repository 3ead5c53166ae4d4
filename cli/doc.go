// Package cli is the command line: one urfave/cli tree, a file for each command.
//
// `up` runs a daemon and `testnet` several; every other command is a client of a
// running daemon's API (its unix socket in the peer's directory), but for `join`
// and `init`, which also work while none runs.
//
// Output is for people by default (tables; progress bars on a terminal only) and
// JSON with --json. Errors go to standard error as `pinfold: error: …`, followed
// by `pinfold: hint: …` where something can be done; the exit code is the kind's
// in pinset's table.
package cli
