// Package epoch is the replicated state in one directory. It works in rounds:
// blocks are judged by their ancestors and appended to the log (Admit), then the
// library merges them, and log, cells, set hash and checkpoint reach the store in
// one batch, the checkpoint last (Settle). What a crash leaves beyond the
// checkpoint is merged again when the epoch is opened, which is all that opening
// has to do: it never reads the whole log.
//
// Admission is a pure function of a block and its ancestors: authority is that of
// the control blocks in its closure (control.go), whatever else is here.
package epoch
