// Package words puts what the API tells into words for people.
package words
