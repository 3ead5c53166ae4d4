package pinset

// Nearest returns the possible word that was probably meant, or "" when none is
// near: for error messages.
func Nearest(given string, possible []string) string {
	best, dist := "", 4
	for _, p := range possible {
		if d := editDistance(given, p); d < dist && 2*d <= len(p) {
			best, dist = p, d
		}
	}
	return best
}

// editDistance is Levenshtein's, over bytes: the words are short and ASCII.
func editDistance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		prev := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			prev, row[j+1] = row[j+1], min(row[j+1]+1, row[j]+1, prev+cost)
		}
	}
	return row[len(b)]
}
