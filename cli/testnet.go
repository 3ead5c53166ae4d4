package cli

import (
	"fmt"
	"os"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/pinfold/pinfold/pinset"
	"github.com/pinfold/pinfold/testnet"
)

func testnetCommand() *cli.Command {
	return command(&cli.Command{
		Name:  "testnet",
		Usage: "run several peers on this machine, to play",
		Description: "Starts peers on loopback, adds a sample and shows how it spreads. Each peer has a directory, so\n" +
			"`pinfold --dir DIR/p2 status` speaks to the second one. Ctrl-C ends it and leaves nothing behind.\n" +
			"In another terminal: `pinfold testnet cut p1,p2 p3` splits the network, `pinfold testnet heal` joins it again.",
		Flags: []cli.Flag{
			&cli.IntFlag{Name: "peers", Value: 3, Usage: "how many `N`"},
			&cli.BoolFlag{Name: "kubo", Usage: "a real Kubo for each (`ipfs` on the PATH) instead of embedded IPFS nodes"},
			&cli.StringFlag{Name: "keep", Usage: "use `DIR`, and leave it there"},
			&cli.StringFlag{Name: "give", Value: "10GB", Usage: "disk that each peer lends"},
			&cli.BoolFlag{Name: "once", Usage: "end when the sample has spread"},
		},
		Action: runTestnet,
		Subcommands: []*cli.Command{
			command(&cli.Command{
				Name: "cut", Usage: "split the running network", ArgsUsage: "GROUP [GROUP …]",
				Description: "A group is a list of peers, as in p1,p2. A peer in no group is alone.",
				Flags:       []cli.Flag{inFlag()},
				Action: func(c *cli.Context) error {
					groups, err := arguments(c, 1, -1)
					if err != nil {
						return err
					}
					return told(c, "cut: each group hears only itself now", testnet.CutRunning(c.Context, c.String("in"), groups))
				},
			}),
			command(&cli.Command{
				Name: "heal", Usage: "join the running network again",
				Flags: []cli.Flag{inFlag()},
				Action: func(c *cli.Context) error {
					return told(c, "healed", testnet.HealRunning(c.Context, c.String("in")))
				},
			}),
		},
	})
}

// told says that something was done, unless it was not.
func told(c *cli.Context, done string, err error) error {
	if err == nil && !c.Bool("json") {
		fmt.Fprintln(c.App.Writer, done)
	}
	return err
}

func inFlag() cli.Flag {
	return &cli.StringFlag{Name: "in", Value: testnet.DefaultDir(), Usage: "the network's `DIR` (what --keep named)"}
}

func runTestnet(c *cli.Context) error {
	if c.Args().Len() > 0 {
		return pinset.Invalid("unknown testnet command %q", c.Args().First()).WithHint("pinfold testnet --help")
	}
	exe, err := os.Executable()
	if err != nil {
		return pinset.Wrap(pinset.KindInternal, err, "find this program")
	}
	out := c.App.Writer
	fmt.Fprintf(out, "starting %d peers …\n", c.Int("peers"))
	begin := time.Now()
	net, err := testnet.Start(c.Context, testnet.Options{
		Peers: c.Int("peers"), Kubo: c.Bool("kubo"), Dir: c.String("keep"), Keep: c.String("keep") != "", Exe: exe, Give: c.String("give"),
	})
	if err != nil {
		return err
	}
	defer net.Close()
	fmt.Fprintf(out, "running after %.1f s; everything lies in %s\n\n", time.Since(begin).Seconds(), net.Dir())
	for _, p := range net.Peers() {
		id := p.ID()
		fmt.Fprintf(out, "%s  %s\n", p.Name, id.ID)
		for _, a := range id.Addresses {
			fmt.Fprintf(out, "    cluster %s\n", a)
		}
		for _, a := range id.IPFS.Addresses {
			fmt.Fprintf(out, "    IPFS    %s\n", a)
		}
		fmt.Fprintf(out, "    try     pinfold --dir %s status\n", p.Dir)
	}
	fmt.Fprintf(out, "\nadding a sample at p1 …\n")
	root, err := net.AddSample(c.Context)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "added   %s\n", root)
	if err := net.Follow(c.Context, out, root); err != nil && c.Context.Err() == nil {
		return err
	}
	if c.Bool("once") || c.Context.Err() != nil {
		return nil
	}
	in := ""
	if net.Dir() != testnet.DefaultDir() {
		in = " --in " + net.Dir()
	}
	fmt.Fprintf(out, "\nthe sample is safe. Split the network with `pinfold testnet cut%s p1 p2,p3`, join it with `pinfold testnet heal%s`;\nCtrl-C ends it.\n", in, in)
	<-c.Context.Done()
	fmt.Fprintln(out, "\nending …")
	return nil
}
