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

// onMember is the action of a command about a member, who is its first argument.
// It takes min to max arguments; without any it is about this peer. do is handed
// the arguments and returns what to say when it is done.
func onMember(min, max int, do func(*cli.Context, *client.Client, peer.ID, []string) (string, error)) cli.ActionFunc {
	return func(c *cli.Context) error {
		args, err := arguments(c, min, max)
		if err != nil {
			return err
		}
		api, err := connect(c)
		if err != nil {
			return err
		}
		id, err := selfOrNamed(c, api, args)
		if err != nil {
			return err
		}
		done, err := do(c, api, id, args)
		if err != nil {
			return err
		}
		return tellChanged(c, nil, done)
	}
}

func selfOrNamed(c *cli.Context, api *client.Client, args []string) (peer.ID, error) {
	if len(args) > 0 {
		return memberNamed(c, api, args[0])
	}
	self, err := api.Self(c.Context)
	return self.ID, err
}
