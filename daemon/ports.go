package daemon

import (
	"encoding/json"
	"os"
	"slices"

	ma "github.com/multiformats/go-multiaddr"
)

// samePorts puts the ports of the last run where the configuration leaves the choice
// to the machine (port 0) and they are free still. The other members look for this
// peer where they last found it: two that both moved would never find each other.
func (c clusterDir) samePorts(listen []ma.Multiaddr) []ma.Multiaddr {
	raw, err := os.ReadFile(c.path("ports"))
	var texts []string
	if err != nil || json.Unmarshal(raw, &texts) != nil {
		return listen
	}
	last, err := parseAddrs("ports", texts)
	if err != nil {
		return listen
	}
	out := slices.Clone(listen)
	for i, a := range out {
		if !anyPort(a) {
			continue
		}
		at := slices.IndexFunc(last, func(l ma.Multiaddr) bool { return portless(l).Equal(a) })
		if at < 0 {
			continue
		}
		if checkPorts("network.listen", last[at:at+1]) == nil {
			out[i] = last[at]
		}
		last = slices.Delete(last, at, at+1)
	}
	return out
}

// savePorts keeps for samePorts where this run listens. It is a convenience: without
// it others have to find this peer anew.
func (c clusterDir) savePorts(listen, bound []ma.Multiaddr) error {
	if !slices.ContainsFunc(listen, anyPort) {
		return nil
	}
	texts := make([]string, len(bound))
	for i, a := range bound {
		texts[i] = a.String()
	}
	raw, err := json.Marshal(texts)
	if err != nil {
		return err
	}
	return writeFile(c.path("ports"), raw)
}

// anyPort says whether an address leaves the port to the machine.
func anyPort(a ma.Multiaddr) bool {
	return slices.ContainsFunc(a, func(c ma.Component) bool { return isPort(c) && c.Value() == "0" })
}

// portless is an address with port 0 in the place of its own.
func portless(a ma.Multiaddr) ma.Multiaddr {
	out := slices.Clone(a)
	for i, c := range out {
		if isPort(c) {
			if zero, err := ma.NewComponent(c.Protocol().Name, "0"); err == nil {
				out[i] = *zero
			}
		}
	}
	return out
}

func isPort(c ma.Component) bool { return c.Code() == ma.P_TCP || c.Code() == ma.P_UDP }
