package temporalproxy

import (
	"fmt"

	"google.golang.org/grpc/mem"
)

// rawCodec leaves messages as they are on the wire: *[]byte. The front decodes only what it has to look into.
type rawCodec struct{}

// Name is what gRPC writes into the content type: the bytes are protobuf's.
func (rawCodec) Name() string { return "proto" }

func (rawCodec) Marshal(message any) (mem.BufferSlice, error) {
	data, ok := message.(*[]byte)
	if !ok {
		return nil, fmt.Errorf("BUG: %T is not a raw message", message)
	}
	return mem.BufferSlice{mem.SliceBuffer(*data)}, nil
}

func (rawCodec) Unmarshal(data mem.BufferSlice, message any) error {
	target, ok := message.(*[]byte)
	if !ok {
		return fmt.Errorf("BUG: %T is not a raw message", message)
	}
	*target = data.Materialize()
	return nil
}
