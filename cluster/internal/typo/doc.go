// Package typo finds words that look like misspellings of words that others use. It
// is pure: words in, words for people out.
package typo
