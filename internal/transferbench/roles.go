package transferbench

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"time"

	"go.temporal.io/sdk/log"
	"go.temporal.io/sdk/testsuite"

	"talon/activities"
	"talon/config"
	"talon/internal/archive/sandbox"
	"talon/internal/catalog"
	"talon/internal/gateway"
	"talon/internal/objectstore"
	"talon/internal/warehouse"
)

// perform calls an activity as a worker does, input and result written as JSON and read again, but without a Temporal server.
func perform[In, Out any](register func(*testsuite.TestActivityEnvironment), call func(context.Context, In) (Out, error), in In, out *Out) error {
	value, err := environment(register).ExecuteActivity(call, in)
	if err != nil {
		return err
	}
	return value.Get(out)
}

// environment is that of one attempt.
func environment(register func(*testsuite.TestActivityEnvironment)) *testsuite.TestActivityEnvironment {
	suite := &testsuite.WorkflowTestSuite{}
	suite.SetLogger(log.NewStructuredLogger(slog.New(slog.DiscardHandler)))
	env := suite.NewTestActivityEnvironment()
	register(env)
	return env
}

// tiger is the role of the host that has the warehouses.
type tiger struct {
	activities activities.Tiger
}

// Open opens what a worker of tiger's role opens, but for the FTP servers.
func (t *tiger) Open(configFile string, _ *struct{}) (err error) {
	t.activities = activities.Tiger{Boot: "tiger's"}
	if t.activities.Config, err = config.Load(configFile); err != nil {
		return err
	}
	if t.activities.Warehouse, err = warehouse.Open(t.activities.Config.Warehouse.Root); err != nil {
		return err
	}
	t.activities.Catalog, err = catalog.Open(context.Background(), t.activities.Warehouse.CatalogFile())
	return err
}

func (t *tiger) register(env *testsuite.TestActivityEnvironment) {
	activities.RegisterTiger(env, &t.activities)
}

// Plan is PlanExtraction.
func (t *tiger) Plan(in activities.ExtractionInput, out *activities.ExtractionPlan) error {
	return perform(t.register, t.activities.PlanExtraction, in, out)
}

// Seal is SealArchives.
func (t *tiger) Seal(in activities.SealInput, out *activities.SealResult) error {
	return perform(t.register, t.activities.SealArchives, in, out)
}

// CloseDecompression is the activity of that name.
func (t *tiger) CloseDecompression(in activities.CloseDecompressionInput, _ *struct{}) error {
	_, err := environment(t.register).ExecuteActivity(t.activities.CloseDecompression, in)
	return err
}

func (t *tiger) close() error {
	var errs []error
	if t.activities.Catalog != nil {
		errs = append(errs, t.activities.Catalog.Close())
	}
	if t.activities.Warehouse != nil {
		errs = append(errs, t.activities.Warehouse.Close())
	}
	return errors.Join(errs...)
}

// EagleSetup says how an eagle works.
type EagleSetup struct {
	Config string `json:"config"`
	Shared bool   `json:"shared"` // it sees tiger's disk
	// Trees and Reports are directories of what was extracted before, see goods. Then nothing is fetched or extracted, and
	// delivering is all that is left of ExtractArchives.
	Trees   string `json:"trees,omitempty"`
	Reports string `json:"reports,omitempty"`
}

// eagle is the role of the host that extracts.
type eagle struct {
	activities activities.Eagle
	closers    closers // in the order in which they are opened
}

// extractionSlots is how many batches an eagle works on at a time, as the worker has it.
func extractionSlots() int { return max(2, runtime.NumCPU()) }

// Open opens what a worker of eagle's role opens. The bytes it delivers are those of another host, on whatever disk.
func (e *eagle) Open(setup EagleSetup, _ *struct{}) (err error) {
	e.activities = activities.Eagle{Host: "eagle", Boot: "eagle's"}
	if e.activities.Config, err = config.Load(setup.Config); err != nil {
		return err
	}
	scratch, err := e.openExchange(setup)
	if err != nil {
		return err
	}
	if setup.Trees != "" {
		goods, err := loadGoods(setup.Trees, setup.Reports)
		e.activities.Exchange, e.activities.Extractor = handover{e.activities.Exchange}, goods
		return err
	}
	pool, err := sandbox.NewPool(sandbox.Options{
		Scratch: scratch, Children: extractionSlots(), Limits: activities.EngineLimits(e.activities.Config.Extract.Limits),
	})
	if err != nil {
		return err
	}
	e.closers = append(e.closers, pool)
	e.activities.Extractor = pool
	return nil
}

// openExchange opens the way to tiger and returns a directory on the disk on which archives are extracted.
func (e *eagle) openExchange(setup EagleSetup) (scratch string, err error) {
	settings := e.activities.Config
	if setup.Shared {
		house, err := warehouse.Open(settings.Warehouse.Root)
		if err != nil {
			return "", err
		}
		e.closers = append(e.closers, house)
		e.activities.Exchange = activities.SharedDisk{Warehouse: house}
		return filepath.Join(house.StageDir(), "eagle"), nil
	}
	store, err := objectstore.Open(objectstore.Options{
		Endpoint: settings.Eagle.Remote.Endpoint, Region: settings.Eagle.Remote.Region, CA: settings.Eagle.CA, Keys: settings.Eagle.StoreKey,
	})
	if err != nil {
		return "", err
	}
	if err := os.MkdirAll(settings.Eagle.Scratch, 0o700); err != nil {
		return "", err
	}
	e.activities.Exchange, err = activities.NewRemote(store, settings.Eagle.Remote.Archives, settings.Eagle.Remote.Stage, settings.Eagle.Scratch)
	return settings.Eagle.Scratch, err
}

// Extract is ExtractArchives.
func (e *eagle) Extract(in activities.ExtractInput, out *activities.Deliveries) error {
	return perform(func(env *testsuite.TestActivityEnvironment) { activities.RegisterEagle(env, &e.activities) }, e.activities.ExtractArchives, in, out)
}

func (e *eagle) close() error { return e.closers.Close() }

// door is the role of the process that runs versitygw and stands before it.
type door struct {
	gateway *gateway.Gateway
}

// GatewaySetup describes a gateway.
type GatewaySetup struct {
	Program, Warehouse, State, EagleKey, Cert, Key string
}

// gatewayStart is how long a gateway may take until it serves.
const gatewayStart = time.Minute

// Open starts the gateway and tells its URL.
func (d *door) Open(setup GatewaySetup, url *string) (err error) {
	ctx, cancel := context.WithTimeout(context.Background(), gatewayStart)
	defer cancel()
	d.gateway, err = gateway.Start(ctx, gateway.Options{
		Program: setup.Program, Warehouse: setup.Warehouse, State: setup.State, Listen: "127.0.0.1:0", EagleKeys: []string{setup.EagleKey},
		Cert: setup.Cert, Key: setup.Key,
	})
	if err == nil {
		*url = d.gateway.URL()
	}
	return err
}

func (d *door) close() error {
	if d.gateway == nil {
		return nil
	}
	return d.gateway.Stop()
}
