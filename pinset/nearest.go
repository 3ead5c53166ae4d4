package pinset

import "slices"

// Nearest returns the possible word that was probably meant, or "" when none is
// near: for error messages.
func Nearest(given string, possible []string) string {
	best, dist := "", 4
	for _, p := range possible {
		if d := editDistance(given, p); d < dist && 2*d < len(p) {
			best, dist = p, d
		}
	}
	return best
}

// editDistance is Levenshtein's with neighbours that changed places as one edit, over
// bytes: the words are short and ASCII.
func editDistance(a, b string) int {
	row, above := make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		prev, before := row[0], slices.Clone(row)
		row[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			prev, row[j+1] = row[j+1], min(row[j+1]+1, row[j]+1, prev+cost)
			if i > 0 && j > 0 && a[i] == b[j-1] && a[i-1] == b[j] {
				row[j+1] = min(row[j+1], above[j-1]+1)
			}
		}
		above = before
	}
	return row[len(b)]
}
