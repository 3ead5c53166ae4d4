package httpproxy

import (
	"bufio"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/pinfold/pinfold/pinset"
)

// maxStdin bounds the arguments that come in a body.
const maxStdin = 4 << 20

// badRequest is Kubo's answer to an argument that is missing or does not parse.
func badRequest(format string, args ...any) error {
	return &textError{http.StatusBadRequest, fmt.Sprintf(format, args...)}
}

// parse reads arguments and options as Kubo does: options it does not know are
// left alone, those it knows must parse and be there once.
func (c *call) parse(tail []string) error {
	query, err := url.ParseQuery(c.r.URL.RawQuery)
	if err != nil && c.cmd.unknown {
		return badRequest("%v", err)
	}
	c.args = append(tail, query["arg"]...)
	if c.opts, err = readOptions(query, c.cmd.options); err != nil {
		return err
	}
	if enc, ok := c.opts["encoding"]; ok && enc != "json" && !c.cmd.sent {
		return badRequest("invalid encoding: %s", enc)
	}
	if kind, _, _ := mime.ParseMediaType(c.r.Header.Get("Content-Type")); c.cmd.file != "" && kind != "multipart/form-data" {
		return badRequest("file argument '%s' is required", c.cmd.file)
	}
	if c.cmd.stdin && !c.cmd.sent {
		if err := c.stdin(); err != nil {
			return err
		}
	}
	if len(c.args) < len(c.cmd.args) && !c.cmd.sent {
		return badRequest("argument %q is required", c.cmd.args[len(c.args)])
	}
	return nil
}

// readOptions returns the options' values under their first names.
func readOptions(query url.Values, known []option) (map[string]string, error) {
	opts := map[string]string{}
	for _, o := range known {
		first := ""
		for name := range strings.SplitSeq(o.names, ",") {
			if first == "" {
				first = name
			}
			values, ok := query[name]
			if !ok {
				continue
			}
			if len(values) > 1 {
				return nil, badRequest("expected key %s to have only a single value, received %v", first, values)
			}
			if err := o.kind.check(first, values[0]); err != nil {
				return nil, err
			}
			opts[first] = values[0]
		}
	}
	return opts, nil
}

// check says whether a value is of a kind, in Kubo's words if not.
func (k kind) check(name, value string) (err error) {
	switch {
	case k == flag && value != "":
		_, err = strconv.ParseBool(value)
	case k == number:
		_, err = strconv.ParseInt(value, 0, 32)
	case k == wide:
		_, err = strconv.ParseInt(value, 0, 64)
	case k == unsigned:
		_, err = strconv.ParseUint(value, 0, 32)
	}
	if err == nil {
		return nil
	}
	text := fmt.Sprintf("value %q", value)
	if value == "" {
		text = "empty value"
	}
	return badRequest("could not convert %s to type %q (for option %q)", text, k, "-"+name)
}

// flag returns the value of an option, def where it is not given.
func (c *call) flag(name string, def bool) bool {
	text, ok := c.opts[name]
	switch {
	case !ok:
		return def
	case text == "":
		return true
	}
	v, _ := strconv.ParseBool(text) // readOptions has looked
	return v
}

func (c *call) number(name string, def int) int {
	if text, ok := c.opts[name]; ok {
		v, _ := strconv.ParseInt(text, 0, 32) // readOptions has looked
		return int(v)
	}
	return def
}

// stdin reads arguments from the lines of the body's first file.
func (c *call) stdin() error {
	kind, params, err := mime.ParseMediaType(c.r.Header.Get("Content-Type"))
	if err != nil || kind != "multipart/form-data" {
		return nil
	}
	part, err := multipart.NewReader(c.body, params["boundary"]).NextPart()
	if err == io.EOF {
		return nil
	}
	if err != nil {
		return badRequest("%v", err)
	}
	left := &io.LimitedReader{R: part, N: maxStdin}
	lines := bufio.NewScanner(left)
	for lines.Scan() {
		if text := strings.TrimSuffix(lines.Text(), "\r"); text != "" {
			c.args = append(c.args, text)
		}
	}
	if left.N <= 0 {
		return pinset.Invalid("body: more than %d bytes of arguments", maxStdin)
	}
	if err := lines.Err(); err != nil {
		return badRequest("%v", err)
	}
	return nil
}
