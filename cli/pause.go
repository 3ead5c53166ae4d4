package cli

import (
	"time"

	"github.com/urfave/cli/v2"

	"github.com/pinfold/pinfold/pinset"
)

func pauseCommand() *cli.Command {
	return command(&cli.Command{
		Name: "pause", Usage: "fetch nothing new for a while", ArgsUsage: "[TIME]",
		Description: "As in `pinfold pause 2h`; without a time until `pinfold resume`. Only here: what is held stays and is served, what is\n" +
			"assigned stays assigned and waits, what is being fetched is fetched to its end. It outlasts a restart.",
		Action: func(c *cli.Context) error {
			args, err := arguments(c, 0, 1)
			if err != nil {
				return err
			}
			var d time.Duration
			done := "paused; pinfold resume goes on"
			if len(args) == 1 {
				if d, err = time.ParseDuration(args[0]); err != nil || d <= 0 {
					return pinset.Invalid("pause %q: want a time as in 2h or 90m", args[0]).WithHint("without a time: until pinfold resume")
				}
				done = "paused until " + time.Now().Add(d).Format("2006-01-02 15:04")
			}
			api, err := connect(c)
			if err != nil {
				return err
			}
			if err := api.Pause(c.Context, d); err != nil {
				return err
			}
			return tellChanged(c, nil, done)
		},
	})
}

func resumeCommand() *cli.Command {
	return command(&cli.Command{
		Name: "resume", Usage: "end a pause",
		Action: func(c *cli.Context) error {
			api, err := connect(c)
			if err != nil {
				return err
			}
			if err := api.Resume(c.Context); err != nil {
				return err
			}
			return tellChanged(c, nil, "fetching again")
		},
	})
}
