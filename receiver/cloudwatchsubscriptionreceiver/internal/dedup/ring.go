// Copyright The awsloki Authors
// SPDX-License-Identifier: Apache-2.0

package dedup

import (
	"hash/maphash"
	"math"
	"time"
)

// state is what is known of a key.
type state uint8

const (
	unknown state = iota
	begun
	acknowledged
)

// ack says when a key was acknowledged, or begun. One of the zero key is a gap, which is forgotten in its turn like any
// other.
type ack struct {
	key  Key
	mark mark
}

// mark is a time since the store began, and whether the key is begun only. It takes no more memory than the time alone,
// which is within maxTime of the store's beginning.
type mark int64

const maxTime = time.Duration(math.MaxInt64 / 2)

// attempt is what is begun.
type attempt struct {
	number uint64
	// before is the mark that the key had before, since an earlier life of the process had begun it. 0: it had none.
	before mark
}

func markOf(at time.Duration, s state) mark {
	m := mark(at) << 1
	if s == begun {
		m |= 1
	}
	return m
}

func (m mark) at() time.Duration { return time.Duration(m >> 1) }

func (m mark) state() state {
	if m&1 != 0 {
		return begun
	}
	return acknowledged
}

// ring holds the newest acks, the oldest of which is forgotten first. Every ack has a number, which it keeps: those from
// first up to next are in the ring. A key may be there several times, if it came again after the window, or was begun by
// several lives of the process; the newest counts, and has the highest number.
//
// A map of Go's would find the keys as well, but grows to twice its size as keys come and go: a million of them took it 112
// bytes each, besides those of the acks.
type ring struct {
	window time.Duration
	max    uint64

	// acks has the ack of a number in the slot that is the number's remainder. It grows with use.
	acks        []ack
	first, next uint64
	// free has the numbers of gaps that attempts left which failed, for the next ones: it is the newest acks that are
	// begun, and those that fail are not to take the place of keys that are acknowledged.
	free []uint64

	// newest has a list of slots for every bucket of keys, newest first: the first slot of each, and older has the slot
	// that follows a slot. Both count slots from 1, for 0 ends a list.
	newest, older []uint32
	seed          maphash.Seed
}

const (
	// firstSlots is how many slots there are when the first key comes.
	firstSlots = 64
	maxSlots   = math.MaxUint32 - 1
)

func newRing(window time.Duration, maxEntries int) ring {
	return ring{window: min(window, maxTime), max: uint64(min(max(maxEntries, 1), maxSlots)), seed: maphash.MakeSeed()}
}

// find says what is known of the key within the window.
func (r *ring) find(key Key, now time.Duration) state {
	if number, ok := r.lookup(key, now); ok {
		return r.ack(number).mark.state()
	}
	return unknown
}

// lookup returns the number of the newest ack of the key, if it is within the window.
func (r *ring) lookup(key Key, now time.Duration) (number uint64, ok bool) {
	if r.first == r.next {
		return 0, false
	}
	for slot := r.newest[r.bucket(key)]; slot != 0; slot = r.older[slot-1] {
		if found := &r.acks[slot-1]; found.key == key && r.isWithin(found, now) {
			return r.number(uint64(slot - 1)), true
		}
	}
	return 0, false
}

// has says whether there is this very ack.
func (r *ring) has(a ack) bool {
	for slot := r.newest[r.bucket(a.key)]; slot != 0; slot = r.older[slot-1] {
		if r.acks[slot-1] == a {
			return true
		}
	}
	return false
}

func (r *ring) isWithin(a *ack, now time.Duration) bool { return now-a.mark.at() <= r.window }

// add records that the key is acknowledged now.
func (r *ring) add(key Key, now time.Duration) { r.put(ack{key, markOf(now, acknowledged)}, now) }

// begin records that the key is begun now.
func (r *ring) begin(key Key, now time.Duration) attempt {
	var before mark
	// What is in the older half would be forgotten too soon.
	least := r.first + (r.next-r.first)/2
	if earlier, ok := r.lookup(key, now); ok {
		before = r.ack(earlier).mark
		least = max(least, earlier+1)
	}
	a := ack{key, markOf(now, begun)}
	for len(r.free) > 0 {
		last := len(r.free) - 1
		number := r.free[last]
		r.free = r.free[:last]
		if number >= least {
			*r.ack(number) = a
			r.link(number)
			return attempt{number, before}
		}
	}
	r.put(a, now)
	return attempt{r.next - 1, before}
}

// acknowledge records that what was begun is acknowledged now. It returns false if that is forgotten.
func (r *ring) acknowledge(a attempt, now time.Duration) bool {
	if a.number < r.first {
		return false
	}
	r.ack(a.number).mark = markOf(now, acknowledged)
	return true
}

// withdraw makes a gap of what was begun. If the key was begun before, and the ack that says so was forgotten meanwhile,
// maybe to make room for this one, this one takes its place instead, and its time. withdraw returns false if what was begun
// is forgotten.
func (r *ring) withdraw(a attempt) bool {
	if a.number < r.first {
		return false
	}
	r.unlink(a.number)
	earlier := ack{r.ack(a.number).key, a.before}
	if a.before != 0 && !r.has(earlier) {
		*r.ack(a.number) = earlier
		r.link(a.number)
		return true
	}
	*r.ack(a.number) = ack{}
	r.free = append(r.free, a.number)
	return true
}

// put gives an ack the next number. It forgets two old acks at most: who comes after a pause is not to wait until all that
// came before it is forgotten.
func (r *ring) put(a ack, now time.Duration) {
	for range 2 {
		if r.first == r.next || r.isWithin(r.ack(r.first), now) {
			break
		}
		r.forget()
	}
	r.push(a)
}

// skipTo gives the next ack this number, if it is not yet beyond it, with gaps up to there. Whoever calls it sees to it
// that it is not too far.
func (r *ring) skipTo(number uint64) {
	if r.first == r.next && r.next < number {
		r.first, r.next = number, number
	}
	for r.next < number {
		r.push(ack{})
	}
}

func (r *ring) push(a ack) {
	used := r.next - r.first
	switch {
	case used == r.max:
		r.forget()
	case used == uint64(len(r.acks)):
		r.grow()
	}
	r.next++
	*r.ack(r.next - 1) = a
	r.link(r.next - 1)
}

// forget forgets the oldest ack.
func (r *ring) forget() {
	r.unlink(r.first)
	r.first++
}

func (r *ring) ack(number uint64) *ack { return &r.acks[r.slot(number)] }

func (r *ring) slot(number uint64) uint64 { return number % uint64(len(r.acks)) }

// number is that of the ack in a slot, of those that are in the ring.
func (r *ring) number(slot uint64) uint64 {
	slots := uint64(len(r.acks))
	return r.first + (slot+slots-r.slot(r.first))%slots
}

func (r *ring) bucket(key Key) uint64 {
	return maphash.Bytes(r.seed, key[:]) & uint64(len(r.newest)-1)
}

// link has the ack of this number found, before all others.
func (r *ring) link(number uint64) {
	slot := r.slot(number)
	if r.acks[slot].key.isZero() {
		return
	}
	head := &r.newest[r.bucket(r.acks[slot].key)]
	r.older[slot], *head = *head, uint32(slot)+1
}

// unlink has the ack of this number no longer found.
func (r *ring) unlink(number uint64) {
	slot := r.slot(number)
	if r.acks[slot].key.isZero() {
		return
	}
	link := &r.newest[r.bucket(r.acks[slot].key)]
	for *link != uint32(slot)+1 {
		link = &r.older[*link-1]
	}
	*link = r.older[slot]
}

// grow doubles the slots, as far as they may.
func (r *ring) grow() {
	old := *r
	slots := min(max(2*uint64(len(old.acks)), firstSlots), r.max)
	r.acks, r.older = make([]ack, slots), make([]uint32, slots)
	r.newest = make([]uint32, atLeast(slots))
	for number := r.first; number < r.next; number++ {
		*r.ack(number) = *old.ack(number)
		r.link(number)
	}
}

// atLeast is the least power of two that is not less than n.
func atLeast(n uint64) uint64 {
	power := uint64(1)
	for power < n {
		power *= 2
	}
	return power
}
