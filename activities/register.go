package activities

import "go.temporal.io/sdk/worker"

// RegisterTiger registers tiger's activities on a worker of the queue TigerQueue.
func RegisterTiger(r worker.ActivityRegistry, t *Tiger) { r.RegisterActivity(t) }

// RegisterEagle registers eagle's activities on a worker of the queue EagleQueue.
func RegisterEagle(r worker.ActivityRegistry, e *Eagle) { r.RegisterActivity(e) }
