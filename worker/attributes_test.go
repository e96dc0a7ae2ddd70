package main

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"testing"

	"github.com/stretchr/testify/assert"
	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/operatorservice/v1"
	"go.temporal.io/sdk/client"
	"google.golang.org/grpc"
)

// fakeOperator is a server's list of search attributes.
type fakeOperator struct {
	client.Client
	operatorservice.OperatorServiceClient
	known           map[string]enumspb.IndexedValueType
	listing, adding error
	added           []map[string]enumspb.IndexedValueType
}

func (f *fakeOperator) OperatorService() operatorservice.OperatorServiceClient { return f }

func (f *fakeOperator) ListSearchAttributes(
	_ context.Context, in *operatorservice.ListSearchAttributesRequest, _ ...grpc.CallOption,
) (*operatorservice.ListSearchAttributesResponse, error) {
	if in.GetNamespace() != "branches" {
		return nil, errors.New("another namespace")
	}
	return &operatorservice.ListSearchAttributesResponse{CustomAttributes: f.known}, f.listing
}

func (f *fakeOperator) AddSearchAttributes(
	_ context.Context, in *operatorservice.AddSearchAttributesRequest, _ ...grpc.CallOption,
) (*operatorservice.AddSearchAttributesResponse, error) {
	if in.GetNamespace() != "branches" {
		return nil, errors.New("another namespace")
	}
	f.added = append(f.added, in.GetSearchAttributes())
	return &operatorservice.AddSearchAttributesResponse{}, f.adding
}

// TestSearchAttributes: those that the server lacks are registered, no others; without them Talon says so and goes on.
func TestSearchAttributes(t *testing.T) {
	all, most := searchAttributeTypes(), searchAttributeTypes()
	delete(most, "TalonFailed")
	missing := map[string]enumspb.IndexedValueType{"TalonFailed": enumspb.INDEXED_VALUE_TYPE_INT}
	for name, test := range map[string]struct {
		server fakeOperator
		added  []map[string]enumspb.IndexedValueType
		want   bool
	}{
		"new server":   {fakeOperator{}, []map[string]enumspb.IndexedValueType{all}, true},
		"known server": {fakeOperator{known: all}, nil, true},
		"one missing":  {fakeOperator{known: most}, []map[string]enumspb.IndexedValueType{missing}, true},
		"not allowed":  {fakeOperator{known: most, adding: errors.New("denied")}, []map[string]enumspb.IndexedValueType{missing}, false},
		"no list":      {fakeOperator{listing: errors.New("denied")}, nil, false},
	} {
		var log bytes.Buffer
		got := ensureSearchAttributes(t.Context(), &test.server, "branches", slog.New(slog.NewTextHandler(&log, nil)))
		assert.Equal(t, test.want, got, name)
		assert.Equal(t, test.added, test.server.added, name)
		assert.Equal(t, !test.want, bytes.Contains(log.Bytes(), []byte("denied")), name)
	}
	assert.Len(t, all, 6)
}
