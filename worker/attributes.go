package main

import (
	"context"
	"log/slog"

	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/operatorservice/v1"
	"go.temporal.io/sdk/client"

	"talon/workflows"
)

func searchAttributeTypes() map[string]enumspb.IndexedValueType {
	return map[string]enumspb.IndexedValueType{
		workflows.AttributeServer.GetName(): enumspb.INDEXED_VALUE_TYPE_KEYWORD,
		workflows.AttributeRun.GetName():    enumspb.INDEXED_VALUE_TYPE_KEYWORD,
		workflows.AttributeState.GetName():  enumspb.INDEXED_VALUE_TYPE_KEYWORD,
		workflows.AttributeResult.GetName(): enumspb.INDEXED_VALUE_TYPE_INT,
		workflows.AttributeFiles.GetName():  enumspb.INDEXED_VALUE_TYPE_INT,
		workflows.AttributeFailed.GetName(): enumspb.INDEXED_VALUE_TYPE_INT,
	}
}

// ensureSearchAttributes reports whether the namespace knows Talon's search attributes, after trying to register those it
// lacks. Setting an unknown one would fail workflow tasks for ever, so without them Talon does without: everything works, only the Web UI cannot
// filter by server or result.
func ensureSearchAttributes(ctx context.Context, c client.Client, namespace string, log *slog.Logger) bool {
	wanted := searchAttributeTypes()
	known, err := c.OperatorService().ListSearchAttributes(ctx, &operatorservice.ListSearchAttributesRequest{Namespace: namespace})
	if err == nil {
		for name := range known.GetCustomAttributes() {
			delete(wanted, name)
		}
		if len(wanted) == 0 {
			return true
		}
		_, err = c.OperatorService().AddSearchAttributes(ctx, &operatorservice.AddSearchAttributesRequest{
			Namespace: namespace, SearchAttributes: wanted,
		})
	}
	if err != nil {
		log.Warn("search attributes are not available; runs cannot be filtered by server or result in the Web UI", "error", err)
		return false
	}
	return true
}
