package typo

import "testing"

func TestWhatIsMeantByAWord(t *testing.T) {
	known := []string{"france", "home1", "be", "Vienna", "ssd"}
	for given, want := range map[string]string{
		"frnace": "france", "farnce": "france", "FRANCE": "france", "vienna": "Vienna", "SSD": "ssd",
		"france": "", "home2": "", "home12": "", "de": "", "hdd": "", "berlin": "", "": "",
	} {
		if got := meant(given, known); got != want {
			t.Errorf("%q: meant %q, want %q", given, got, want)
		}
	}
}
