package pinset

import (
	"context"
	"errors"
	"fmt"
)

// Kind is what a caller can do about an error. One table (Kinds) maps it to the
// command line's exit code and to the HTTP status.
type Kind uint8

const (
	KindInternal     Kind = iota // a fault of pinfold or of the machine
	KindInvalid                  // the request is wrong; asking again is useless
	KindNotFound                 // there is no such pin, peer or file
	KindConflict                 // the request does not fit the present state
	KindRefused                  // over a limit: disk, traffic, a guard
	KindForbidden                // who asks may not do this
	KindUnauthorised             // who asks did not say who they are
	KindUnavailable              // a part is away (IPFS node, peer, disk full): try later
	KindTimeout                  // not done in time; it may still happen
)

// KindInfo is a row of the table of kinds.
type KindInfo struct {
	Name string // the problem's type on the wire
	Exit int    // the command line's exit code
	HTTP int    // the status code
}

// Info returns the kind's row in the table.
func (k Kind) Info() KindInfo {
	switch k {
	case KindInvalid:
		return KindInfo{"invalid", 2, 400}
	case KindNotFound:
		return KindInfo{"not-found", 3, 404}
	case KindConflict:
		return KindInfo{"conflict", 4, 409}
	case KindRefused:
		return KindInfo{"refused", 5, 507}
	case KindForbidden:
		return KindInfo{"forbidden", 6, 403}
	case KindUnauthorised:
		return KindInfo{"unauthorised", 6, 401}
	case KindUnavailable:
		return KindInfo{"unavailable", 7, 503}
	case KindTimeout:
		return KindInfo{"timeout", 8, 504}
	}
	return KindInfo{"internal", 1, 500}
}

// KindNamed is the inverse of Info().Name; unknown names are KindInternal.
func KindNamed(name string) Kind {
	for k := KindInternal; k <= KindTimeout; k++ {
		if k.Info().Name == name {
			return k
		}
	}
	return KindInternal
}

// Error is an error with a kind and, where there is one, a hint: what to do,
// best the command to type.
type Error struct {
	Kind Kind
	Msg  string
	Hint string
	Err  error // the cause, or nil; its text follows Msg

	cause error // the cause whose text Msg contains
}

func (e *Error) Error() string {
	if e.Err == nil {
		return e.Msg
	}
	return e.Msg + ": " + e.Err.Error()
}

func (e *Error) Unwrap() error {
	if e.Err != nil {
		return e.Err
	}
	return e.cause
}

// WithHint returns a copy of e with a hint.
func (e *Error) WithHint(format string, args ...any) *Error {
	c := *e
	c.Hint = fmt.Sprintf(format, args...)
	return &c
}

// Errorf returns an error of a kind; a %w among its verbs is its cause.
func Errorf(k Kind, format string, args ...any) *Error {
	err := fmt.Errorf(format, args...)
	return &Error{Kind: k, Msg: err.Error(), cause: errors.Unwrap(err)}
}

// Invalid returns an error of KindInvalid.
func Invalid(format string, args ...any) *Error { return Errorf(KindInvalid, format, args...) }

// NotFound returns an error of KindNotFound.
func NotFound(format string, args ...any) *Error { return Errorf(KindNotFound, format, args...) }

// Wrap gives err a kind and a context, "verb object". It returns nil for nil.
func Wrap(k Kind, err error, format string, args ...any) error {
	if err == nil {
		return nil
	}
	return &Error{Kind: k, Msg: fmt.Sprintf(format, args...), Err: err}
}

// KindOf returns the kind of err: that of the outermost Error in it, KindTimeout
// for a passed deadline, else KindInternal.
func KindOf(err error) Kind {
	var e *Error
	if errors.As(err, &e) {
		return e.Kind
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return KindTimeout
	}
	return KindInternal
}

// HintOf returns the first hint in err's chain, or "".
func HintOf(err error) string {
	for err != nil {
		var e *Error
		if !errors.As(err, &e) {
			return ""
		}
		if e.Hint != "" {
			return e.Hint
		}
		err = e.Unwrap()
	}
	return ""
}
