// Copyright The awsloki Authors
// SPDX-License-Identifier: Apache-2.0

package dedup

import (
	"context"
	"time"

	"go.uber.org/zap"
)

// requestWrite sees to it that all that is recorded is written, and returns what is closed when that is so, or has failed.
// s.mu is held.
func (s *Store) requestWrite(ctx context.Context) <-chan struct{} {
	d := s.disk
	if d.round == nil {
		d.round = make(chan struct{})
	}
	round := d.round
	if d.idle == nil {
		d.idle = make(chan struct{})
		// What is written is of other requests too, whose ends do not come with this one's.
		go s.write(context.WithoutCancel(ctx))
	}
	return round
}

// write writes, one round after another, until there is none: what comes during one is written by the next, together.
func (s *Store) write(ctx context.Context) {
	for {
		s.mu.Lock()
		round := s.disk.round
		if round == nil {
			close(s.disk.idle)
			s.disk.idle = nil
			s.mu.Unlock()
			return
		}
		end, changed := s.acks.next, s.disk.changed
		s.disk.round, s.disk.changed = nil, nil
		s.mu.Unlock()
		if err := s.writeRound(ctx, end, changed); err != nil {
			s.disk.logger.Error("The keys of acknowledged documents could not be written. After a restart, these documents may be handed on again.",
				zap.Error(err))
		}
		close(round)
	}
}

// writeRound writes the acks before number end and those of the changed chunks, and maybe some of those that come meanwhile.
func (s *Store) writeRound(ctx context.Context, end uint64, changed chunks) error {
	for s.disk.written < end || len(changed) > 0 {
		s.mu.Lock()
		now := time.Now()
		next := s.disk.plan(&s.acks, changed, now, now.Sub(s.start))
		s.mu.Unlock()
		if err := s.disk.write(ctx, next); err != nil {
			s.keepChanged(changed)
			return err
		}
		for _, chunk := range next.changed {
			delete(changed, chunk)
		}
	}
	return nil
}

// keepChanged leaves to the next round what a round could not write.
func (s *Store) keepChanged(left chunks) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for chunk := range left {
		s.disk.changed.add(chunk)
	}
}
