package cli

import (
	"strings"

	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/urfave/cli/v2"

	"github.com/pinfold/pinfold/httpapi/client"
	"github.com/pinfold/pinfold/pinset"
)

// membersNamed reads names or ids with commas between.
func membersNamed(c *cli.Context, list string) ([]peer.ID, error) {
	if list == "" {
		return nil, nil
	}
	api, err := connect(c)
	if err != nil {
		return nil, err
	}
	var out []peer.ID
	for w := range strings.SplitSeq(list, ",") {
		if w == "" {
			continue
		}
		id, err := memberNamed(c, api, w)
		if err != nil {
			return nil, err
		}
		out = append(out, id)
	}
	return out, nil
}

// memberNamed finds a member by its id or its name, which must be one member's
// alone.
func memberNamed(c *cli.Context, api *client.Client, name string) (peer.ID, error) {
	if id, err := peer.Decode(name); err == nil {
		return id, nil
	}
	var found []peer.ID
	var names []string
	for m, err := range api.Peers(c.Context) {
		if err != nil {
			return "", err
		}
		if names = append(names, m.Name); m.Name == name {
			found = append(found, m.ID)
		}
	}
	switch len(found) {
	case 1:
		return found[0], nil
	case 0:
		e := pinset.NotFound("member %q: there is no such name or peer id", name)
		if near := pinset.Nearest(name, names); near != "" {
			return "", e.WithHint("did you mean %s?", near)
		}
		return "", e.WithHint("pinfold peers")
	}
	return "", pinset.Invalid("member %q: %d members have this name", name, len(found)).WithHint("name it by its peer id: pinfold peers")
}

// selfOrNamed is the member of the only argument, or without one this peer.
func selfOrNamed(c *cli.Context, api *client.Client) (peer.ID, error) {
	args, err := arguments(c, 0, 1)
	if err != nil {
		return "", err
	}
	if len(args) == 1 {
		return memberNamed(c, api, args[0])
	}
	self, err := api.Self(c.Context)
	return self.ID, err
}
