package cli

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/pinfold/pinfold/httpapi/dialect"
)

func TestTokenCommands(t *testing.T) {
	run := startPeer(t, "p1", "").run
	for _, tc := range []struct {
		args string
		code int
		says string
	}{
		{"token add cron", 2, "hint: as in pinfold token add cron --scope read --scope pin"},
		{"token add", 2, "usage: pinfold token add NOTE"},
		{"token add cron --scope reed", 2, "did you mean read?"},
		{"token add cron --scope read --expire-in -1h", 2, "want a time ahead"},
		{"token add cron --scope read --secret bearer:short", 2, "at least 24"},
		{"token add cron --scope read --peer nobody", 3, "nobody"},
		{"token rm 0123", 3, "hint: pinfold token ls"},
	} {
		if code, out, errs := run(strings.Fields(tc.args)...); code != tc.code || !strings.Contains(errs, tc.says) || out != "" {
			t.Errorf("%s: %d %q %q, want %d %q", tc.args, code, out, errs, tc.code, tc.says)
		}
	}
	code, text, errs := run("token", "add", "cron", "--scope", "read,pin", "--owner", "alice", "--prefix", "a/", "--expire-in", "48h")
	if code != 0 || !strings.HasPrefix(text, "pinfold-token-") || strings.Count(text, "\n") != 1 {
		t.Fatalf("%d %q %q", code, text, errs)
	}
	code, out, errs := run("token", "add", "by hand", "--scope", "read", "--secret", "bearer:0123456789abcdef01234567", "--json")
	var made dialect.MadeToken
	if err := json.Unmarshal([]byte(out), &made); err != nil || code != 0 || made.ID == "" || made.Text != "" {
		t.Errorf("%d %q %q", code, out, errs)
	}
	if code, _, errs := run("token", "add", "again", "--scope", "read", "--secret", "0123456789abcdef01234567"); code != 4 || !strings.Contains(errs, "token rm") {
		t.Errorf("the same secret: %d %q", code, errs)
	}
	code, out, _ = run("token", "ls")
	for _, want := range []string{"administrator  admin", "cron           read pin  alice  a/", "by hand        read", "from now", "never"} {
		if !strings.Contains(out, want) {
			t.Errorf("ls: %d, lacks %q:\n%s", code, want, out)
		}
	}
	if strings.Contains(out, strings.TrimSpace(text)) {
		t.Error("ls shows a token's text")
	}
	if code, out, _ := run("token", "rm", made.ID); code != 0 || !strings.Contains(out, made.ID) {
		t.Errorf("rm: %d %q", code, out)
	}
	if _, out, _ := run("token", "ls", "--json"); strings.Contains(out, made.ID) || strings.Count(out, "\n") != 2 {
		t.Errorf("after rm: %s", out)
	}
}
