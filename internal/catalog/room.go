package catalog

import "encoding/json"

// room is what a page has left for rows, in bytes of JSON. A page holds at least one row, so one that is larger than the room has a page for
// itself.
type room struct{ left, rows int }

func roomOf(budget int) room { return room{left: budget - frame} }

// take reports whether there is room for a row, and takes it.
func (r *room) take(row any) (bool, error) {
	text, err := json.Marshal(row)
	if err != nil {
		return false, err
	}
	size := len(text) + len(",")
	if r.rows > 0 && size > r.left {
		return false, nil
	}
	r.rows++
	r.left -= size
	return true, nil
}
