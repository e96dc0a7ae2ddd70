package telemetry

import (
	"regexp"
	"strconv"
	"sync"

	"talon/activities"
)

// maxCodes is how many different reasons become labels of a process. There are about a hundred; a worker that tells more has been told them by
// somebody: the reasons of archives come from eagles, which nobody trusts.
const maxCodes = 300

// otherCode stands for reasons that are no codes, or one code too many.
const otherCode = "other"

var isCode = regexp.MustCompile(`^[a-z0-9_]{0,64}$`)

// codes are the reasons that are labels already.
type codes struct {
	mu    sync.Mutex
	known map[string]struct{}
}

// label returns what stands for a reason in labels, which must stay few and short: each value is a series that is never forgotten.
func (c *codes) label(reason string) string {
	if !isCode.MatchString(reason) {
		return otherCode
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, ok := c.known[reason]; ok {
		return reason
	}
	if len(c.known) >= maxCodes {
		return otherCode
	}
	if c.known == nil {
		c.known = map[string]struct{}{}
	}
	c.known[reason] = struct{}{}
	return reason
}

// resultLabel is a result code; what is none has failed, as in every account.
func resultLabel(result int) string {
	switch result {
	case activities.Success, activities.Partial:
		return strconv.Itoa(result)
	default:
		return strconv.Itoa(activities.Failed)
	}
}
