// Copyright The awsloki Authors
// SPDX-License-Identifier: Apache-2.0

package dedup

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"go.opentelemetry.io/collector/extension/xextension/storage"
	"go.uber.org/zap"
)

// journal keeps a ring in storage. An ack is in the chunk that its number says, at the place that its number says:
//
//	chunk_<number of the chunk, 16 hexadecimal digits>:
//	    how many acks at the start of the chunk were forgotten before it was written (1 byte)
//	    the others: key (16 bytes), time in nanoseconds since 1970 (8 bytes), all zero for a gap. The highest bit of the time
//	    is set if the key is begun only
//	chunks:
//	    version (1 byte), number of the first chunk (8 bytes), number after the last one (8 bytes)
//
// Numbers are big endian. Every Batch is one transaction and leaves all of this as it should be: it writes the chunks that
// have new acks, the last of which may be written again when there are more, and those of which an ack changed, deletes
// chunks of which all is forgotten, and writes which chunks there are.
//
// Versions before the first release knew no keys that are begun only. What they wrote is read as it was meant; to them such
// a key is one of long before the window, and forgotten.
type journal struct {
	client storage.Client
	logger *zap.Logger

	// round is closed when all that is recorded is written, or could not be. nil: all is written, being written, or
	// could not be. idle is closed when the goroutine that writes ends. nil: there is none. Both are guarded by the
	// store's mutex.
	round, idle chan struct{}

	// changed has the chunks that have to be written, or written again, since an ack in them changed: no more than those of
	// claims that were begun or ended since the last round, or since the storage fails, as far as they are not forgotten.
	// Guarded by the store's mutex.
	changed chunks

	// first is the number of the first chunk that may be in storage, and written the number before which all acks are
	// there. After loading they are the writing goroutine's, of which there is one at a time.
	first, written uint64
}

const (
	chunksKey     = "chunks"
	chunksVersion = 1
	chunksBytes   = 1 + 2*8

	// chunkSize is how many acks are in a chunk. Many make few keys in storage, few make little to write again.
	chunkSize = 128
	ackBytes  = len(Key{}) + 8

	// begunBit is of the time. No time needs it until 2262.
	begunBit = 1 << 63

	// In one Batch, so many chunks are read, written for their new acks, for those that changed, and deleted at most.
	readAtOnce, writeAtOnce, rewriteAtOnce, deleteAtOnce = 256, 64, 64, 1024
	// A ring has fewer chunks than maxChunks, and no numbers come near maxChunk.
	maxChunks = maxSlots/chunkSize + deleteAtOnce
	maxChunk  = 1 << 48
)

var errDamaged = errors.New("damaged, or of another version")

func chunkKey(chunk uint64) string { return fmt.Sprintf("chunk_%016x", chunk) }

// chunks is a set of the numbers of chunks.
type chunks map[uint64]struct{}

func (c *chunks) add(chunk uint64) {
	if *c == nil {
		*c = chunks{}
	}
	(*c)[chunk] = struct{}{}
}

// change notes that the ack of this number changed. The store's mutex is held.
func (j *journal) change(number uint64) { j.changed.add(number / chunkSize) }

// batch is what is to be written at once, and the journal's state after it.
type batch struct {
	ops            []*storage.Operation
	first, written uint64
	// changed are those of the changed chunks that are written by then.
	changed []uint64
}

// plan says what to write next: new acks, if there are any, and some of the changed chunks, of which it takes out those that
// are forgotten. now is the same time by both clocks.
func (j *journal) plan(r *ring, changed chunks, wall time.Time, now time.Duration) batch {
	from := max(j.written, r.first) / chunkSize
	next := min((r.next-1)/chunkSize+1, from+writeAtOnce)
	b := batch{written: min(next*chunkSize, r.next)}
	for chunk := from; chunk < next; chunk++ {
		b.ops = append(b.ops, storage.SetOperation(chunkKey(chunk), encodeChunk(r, chunk, wall, now)))
	}
	rewritten := 0
	for chunk := range changed {
		switch {
		case chunk < r.first/chunkSize:
			delete(changed, chunk)
		case chunk >= from: // is written for its new acks, now or by the Batches that follow
			b.changed = append(b.changed, chunk)
		case rewritten < rewriteAtOnce:
			rewritten++
			b.ops = append(b.ops, storage.SetOperation(chunkKey(chunk), encodeChunk(r, chunk, wall, now)))
			b.changed = append(b.changed, chunk)
		}
	}
	b.first = min(r.first/chunkSize, j.first+deleteAtOnce)
	for chunk := j.first; chunk < b.first; chunk++ {
		b.ops = append(b.ops, storage.DeleteOperation(chunkKey(chunk)))
	}
	b.ops = append(b.ops, storage.SetOperation(chunksKey, encodeChunks(b.first, next)))
	return b
}

func (j *journal) write(ctx context.Context, b batch) error {
	if err := j.client.Batch(ctx, b.ops...); err != nil {
		return err
	}
	j.first, j.written = b.first, b.written
	return nil
}

func encodeChunks(first, next uint64) []byte {
	data := binary.BigEndian.AppendUint64([]byte{chunksVersion}, first)
	return binary.BigEndian.AppendUint64(data, next)
}

func decodeChunks(data []byte) (first, next uint64, err error) {
	if len(data) != chunksBytes || data[0] != chunksVersion {
		return 0, 0, errDamaged
	}
	first, next = binary.BigEndian.Uint64(data[1:]), binary.BigEndian.Uint64(data[9:])
	if first > next || next-first > maxChunks || next > maxChunk {
		return 0, 0, errDamaged
	}
	return first, next, nil
}

func encodeChunk(r *ring, chunk uint64, wall time.Time, now time.Duration) []byte {
	start := chunk * chunkSize
	number, end := max(start, r.first), min(start+chunkSize, r.next)
	data := make([]byte, 1, 1+int(end-number)*ackBytes)
	data[0] = byte(number - start)
	for ; number < end; number++ {
		a := r.ack(number)
		var at uint64
		if !a.key.isZero() {
			at = uint64(max(wall.Add(a.mark.at()-now).UnixNano(), 0))
			if a.mark.state() == begun {
				at |= begunBit
			}
		}
		data = append(data, a.key[:]...)
		data = binary.BigEndian.AppendUint64(data, at)
	}
	return data
}

// load fills the ring with what is in storage of the window that ends at wall, which is when the ring's time begins.
func (j *journal) load(ctx context.Context, r *ring, wall time.Time) error {
	data, err := j.client.Get(ctx, chunksKey)
	if err != nil || data == nil {
		return err
	}
	first, next, err := decodeChunks(data)
	if err != nil {
		j.logger.Error("The keys of acknowledged documents are forgotten: which there are cannot be read.", zap.Error(err))
		return nil
	}
	// The first and the last chunk may each have one ack only.
	from := max(first, next-min(next, r.max/chunkSize+2))
	unreadable, err := j.loadChunks(ctx, r, wall, from, next)
	if err != nil {
		return err
	}
	if unreadable > 0 {
		j.logger.Error("Some keys of acknowledged documents are forgotten: chunks of them cannot be read.",
			zap.Int("chunks", unreadable), zap.Error(errDamaged))
	}
	j.first, j.written = first, r.next
	return nil
}

func (j *journal) loadChunks(ctx context.Context, r *ring, wall time.Time, from, next uint64) (unreadable int, err error) {
	for ; from < next; from += readAtOnce {
		ops := make([]*storage.Operation, 0, readAtOnce)
		for chunk := from; chunk < min(from+readAtOnce, next); chunk++ {
			ops = append(ops, storage.GetOperation(chunkKey(chunk)))
		}
		if err := j.client.Batch(ctx, ops...); err != nil {
			return 0, err
		}
		for i, op := range ops {
			chunk := from + uint64(i)
			end, ok := decodeChunk(r, chunk, op.Value, wall)
			if !ok {
				unreadable++
			}
			if chunk+1 < next {
				end = (chunk + 1) * chunkSize
			}
			r.skipTo(end)
		}
	}
	return unreadable, nil
}

// decodeChunk puts those of a chunk's acks into the ring that are within the window, and returns the number after the last
// one. If the chunk cannot be read, that is the number after those that it could have.
func decodeChunk(r *ring, chunk uint64, data []byte, wall time.Time) (end uint64, ok bool) {
	start := chunk * chunkSize
	if len(data) == 0 || (len(data)-1)%ackBytes != 0 || int(data[0])+(len(data)-1)/ackBytes > chunkSize {
		return start + chunkSize, false
	}
	number := start + uint64(data[0])
	for data = data[1:]; len(data) > 0; data = data[ackBytes:] {
		key, at, known := Key(data), binary.BigEndian.Uint64(data[len(Key{}):]), acknowledged
		if at&begunBit != 0 {
			at, known = at&^begunBit, begun
		}
		age := wall.Sub(time.Unix(0, int64(at)))
		if !key.isZero() && age <= r.window && age >= -r.window {
			r.skipTo(number)
			r.push(ack{key, markOf(-max(age, 0), known)})
		}
		number++
	}
	return number, true
}
