package dialect

// Changed answers a change that was made.
type Changed struct {
	Warnings []string `json:"warnings"` // what is done and may not be meant
}

// NewChanged gives warnings their JSON form.
func NewChanged(warnings []string) Changed { return Changed{list(warnings)} }
