package catalog

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestBehaviour(t *testing.T) {
	c := open(t)
	ctx := t.Context()
	_, _, err := c.Behaviour(ctx, testServer)
	require.ErrorIs(t, err, ErrNoRow)
	started := time.Now().Add(-time.Second)
	twice(t, c, func() {
		require.NoError(t, c.SaveBehaviour(ctx, testServer, json.RawMessage(`{"mlsd": true,  "zone":[1]}`)))
	})
	before := dump(t, c)
	require.NoError(t, c.SaveBehaviour(ctx, testServer, json.RawMessage("{\n\"mlsd\":true,\"zone\":[1]}")))
	assert.Equal(t, before, dump(t, c), "the same document")
	learned, at, err := c.Behaviour(ctx, testServer)
	require.NoError(t, err)
	assert.JSONEq(t, `{"mlsd":true,"zone":[1]}`, string(learned))
	assert.True(t, at.After(started))

	require.NoError(t, c.SaveBehaviour(ctx, testServer, json.RawMessage(`{"mlsd":false}`)))
	learned, later, err := c.Behaviour(ctx, testServer)
	require.NoError(t, err)
	assert.JSONEq(t, `{"mlsd":false}`, string(learned))
	assert.False(t, later.Before(at))
	_, _, err = c.Behaviour(ctx, "branch-002")
	require.ErrorIs(t, err, ErrNoRow)
	for _, bad := range []string{"", "{", "{} {}"} {
		require.Error(t, c.SaveBehaviour(ctx, testServer, json.RawMessage(bad)), bad)
	}
}

func TestABehaviourThatIsKnownNeedsNoLock(t *testing.T) {
	c := open(t)
	document := json.RawMessage(`{}`)
	require.NoError(t, c.SaveBehaviour(t.Context(), testServer, document))
	tx, err := c.writer.Begin()
	require.NoError(t, err)
	defer func() { assert.NoError(t, tx.Rollback()) }()
	require.NoError(t, c.SaveBehaviour(t.Context(), testServer, document))
}
