// Copyright The awsloki Authors
// SPDX-License-Identifier: Apache-2.0

package lokiexporter

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/extension/xextension/storage"
	"go.uber.org/zap"
)

// lanes are those of all tenants. A lane is opened when its tenant first comes, and when the exporter starts, for what
// is in its queue on disk.
type lanes struct {
	create func(ctx context.Context, tenant string) (*lane, error)
	max    int
	logger *zap.Logger

	mu       sync.RWMutex
	byTenant map[string]*lane
	// host is nil before start and after shutdown.
	host component.Host
	// known are the tenants for which there is or was to be a lane. index remembers them. nil: the queues are not on disk.
	known []string
	index storage.Client
	// failed are tenants whose lanes could not be opened. All wait while one is being opened, hence it is not tried often.
	failed map[string]failure
}

type failure struct {
	err error
	at  time.Time
}

// retryOpen is after how long it is tried again to open a lane.
const retryOpen = 5 * time.Second

// indexKey is what the tenants are stored under, and indexName the store's name.
const (
	indexName = "tenants"
	indexKey  = "tenants"
)

var (
	errStopped = errors.New("the exporter is not running")
	errTooMany = errors.New("there are more tenants than `tenant::max_tenants` allows")
)

// start opens the lanes of this tenant, and of all that it remembers.
func (l *lanes) start(ctx context.Context, host component.Host, id component.ID, storageID *component.ID, tenant string) error {
	l.mu.Lock()
	l.host = host
	l.byTenant, l.failed = map[string]*lane{}, map[string]failure{}
	err := l.openAll(ctx, id, storageID, tenant)
	l.mu.Unlock()
	if err != nil {
		return errors.Join(err, l.shutdown(ctx))
	}
	return nil
}

func (l *lanes) openAll(ctx context.Context, id component.ID, storageID *component.ID, tenant string) error {
	if storageID != nil {
		if err := l.openIndex(ctx, id, *storageID); err != nil {
			return fmt.Errorf("open the list of tenants: %w", err)
		}
	}
	if err := l.open(ctx, tenant); err != nil {
		return err
	}
	for _, remembered := range l.known {
		if _, ok := l.byTenant[remembered]; ok {
			continue
		}
		// One that cannot be opened must not keep the others from starting. It is tried again when its lines come.
		if err := l.open(ctx, remembered); err != nil {
			l.logger.Error("What waits for a tenant cannot be sent.", zap.Error(err))
		}
	}
	return nil
}

func (l *lanes) openIndex(ctx context.Context, id, storageID component.ID) error {
	extension, ok := l.host.GetExtensions()[storageID].(storage.Extension)
	if !ok {
		return fmt.Errorf("`sending_queue::storage`: %q is no storage extension that the service has", storageID)
	}
	var err error
	if l.index, err = extension.GetClient(ctx, component.KindExporter, id, indexName); err != nil {
		return err
	}
	data, err := l.index.Get(ctx, indexKey)
	if err != nil || len(data) == 0 {
		return err
	}
	if err := json.Unmarshal(data, &l.known); err != nil {
		// To go on would be to forget what waits for the tenants.
		return fmt.Errorf("%q of %q in %q is damaged: %w", indexKey, indexName, storageID, err)
	}
	return nil
}

// get returns the lane of a tenant, and opens it if it is the first time.
func (l *lanes) get(ctx context.Context, tenant string) (*lane, error) {
	l.mu.RLock()
	found, ok := l.byTenant[tenant]
	l.mu.RUnlock()
	if ok {
		return found, nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if found, ok := l.byTenant[tenant]; ok {
		return found, nil
	}
	if l.host == nil {
		return nil, errStopped
	}
	if failed, ok := l.failed[tenant]; ok && time.Since(failed.at) < retryOpen {
		return nil, failed.err
	}
	if l.isOneTooMany(tenant) {
		return nil, fmt.Errorf("%w: %d", errTooMany, l.max)
	}
	// The lane outlives the request that it is opened for.
	if err := l.open(context.WithoutCancel(ctx), tenant); err != nil {
		l.failed[tenant] = failure{err, time.Now()}
		return nil, err
	}
	delete(l.failed, tenant)
	return l.byTenant[tenant], nil
}

// isOneTooMany says whether a tenant is new and there are as many as there may be. No tenant is none.
func (l *lanes) isOneTooMany(tenant string) bool {
	if tenant == "" || slices.Contains(l.known, tenant) {
		return false
	}
	tenants := len(l.known)
	if slices.Contains(l.known, "") {
		tenants--
	}
	return tenants >= l.max
}

// open opens a lane. That its tenant is remembered comes first: lines must not be forgotten on disk.
func (l *lanes) open(ctx context.Context, tenant string) error {
	if err := l.remember(ctx, tenant); err != nil {
		return fmt.Errorf("remember tenant %q: %w", tenant, err)
	}
	opened, err := l.create(ctx, tenant)
	if err != nil {
		return fmt.Errorf("make the queue of tenant %q: %w", tenant, err)
	}
	if err := opened.start(ctx, l.host); err != nil {
		return fmt.Errorf("open the queue of tenant %q: %w", tenant, errors.Join(err, opened.shutdown(ctx)))
	}
	l.byTenant[tenant] = opened
	return nil
}

func (l *lanes) remember(ctx context.Context, tenant string) error {
	if slices.Contains(l.known, tenant) {
		return nil
	}
	known := append(slices.Clone(l.known), tenant)
	if l.index != nil {
		data, err := json.Marshal(known)
		if err == nil {
			err = l.index.Set(ctx, indexKey, data)
		}
		if err != nil {
			return err
		}
	}
	l.known = known
	return nil
}

// shutdown closes all lanes, each of which takes the time of its requests that are under way.
func (l *lanes) shutdown(ctx context.Context) error {
	l.mu.Lock()
	open := slices.Collect(maps.Values(l.byTenant))
	l.byTenant, l.host = nil, nil
	index := l.index
	l.index = nil
	l.mu.Unlock()

	errs := make([]error, len(open)+1)
	var wait sync.WaitGroup
	for i, one := range open {
		wait.Go(func() { errs[i] = one.shutdown(ctx) })
	}
	wait.Wait()
	if index != nil {
		errs[len(open)] = index.Close(ctx)
	}
	return errors.Join(errs...)
}
