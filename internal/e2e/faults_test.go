package e2e

import (
	"errors"
	"io"
	"path"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestFaultsAreRows: whatever is wrong with one server or file has a reason in its row, and everything else arrives.
func TestFaultsAreRows(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	s.addClosedSite("down")
	locked := s.addSite("locked")
	locked.serve("secret.csv", text("secret", 100), written)
	locked.configured = "not the password"
	vanishing := s.addSite("vanishing")
	vanishing.settings = ", connections: 1"
	vanishing.put("1.csv", text("one", 100))
	vanishing.serve("2.csv", text("two", 100), written)
	vanishing.put("3.csv", text("three", 100))
	vanishing.onRetrieve(func(name string, data io.Reader) (io.Reader, error) {
		if name == "1.csv" { // the listing is known by now
			return data, vanishing.files.Remove(path.Join(remoteDir, "2.csv"))
		}
		return data, nil
	})
	broken := s.addSite("broken")
	good := packZip(member("m.txt", text("m", 3000)))
	broken.put("bad.zip", good[:len(good)/2])
	broken.putZip("good.zip", member("m.txt", text("m", 3000)))
	s.configure("")
	s.watch()
	s.start()

	result := s.collect(partly)
	s.requireWarehouse()
	s.requireFiles(result)
	for name, want := range map[string]struct {
		result int
		reason string
	}{
		"down":      {failed, "server_unreachable"},
		"locked":    {failed, "login_refused"},
		"vanishing": {partly, "incomplete"},
		"broken":    {complete, ""},
	} {
		assert.Equal(t, want.result, result.Servers[name].Result, name)
		assert.Equal(t, want.reason, result.Servers[name].Reason, name)
	}
	assert.Equal(t, map[string]string{"2.csv": "file_vanished"}, reasons(result.Servers["vanishing"].Failed))
	bad := result.Decompress.Archives["broken/bad.zip"]
	assert.Equal(t, failed, bad.Result)
	assert.NotEmpty(t, bad.Reason)
	assert.Equal(t, complete, result.Decompress.Archives["broken/good.zip"].Result)
	assert.Equal(t, 1, locked.ftp.Stats().RefusedLogins, "one refused login per run, or the account gets locked")
}

// TestTransferBreaks: a transfer that breaks off, and one that ends early although the server says that it was complete, are
// tried again within the run.
func TestTransferBreaks(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	a := s.addSite("a")
	a.put("broken.csv", text("broken", 5000))
	a.put("short.csv", text("short", 5000))
	a.put("whole.csv", text("whole", 5000))
	tries := map[string]int{}
	a.settings = ", connections: 1" // so that the hook is called by one transfer at a time
	a.onRetrieve(func(name string, data io.Reader) (io.Reader, error) {
		tries[name]++
		switch {
		case tries[name] > 1 || name == "whole.csv":
			return data, nil
		case name == "short.csv":
			return io.LimitReader(data, 2000), nil
		default:
			return nil, errors.New("the disk of the branch is broken")
		}
	})
	s.configure("")
	s.watch()
	s.start()
	result := s.collect(complete)
	s.requireWarehouse()
	s.requireFiles(result)
	require.Equal(t, map[string]int{"broken.csv": 2, "short.csv": 2, "whole.csv": 1}, tries)
}
