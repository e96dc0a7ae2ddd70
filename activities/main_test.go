package activities

import (
	"testing"

	"go.uber.org/goleak"

	"talon/internal/archive/sandbox"
)

func TestMain(m *testing.M) {
	sandbox.RunIfChild()
	goleak.VerifyTestMain(m)
}
