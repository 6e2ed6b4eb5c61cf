// Copyright The awsloki Authors
// SPDX-License-Identifier: Apache-2.0

package parquetlines

import "encoding/binary"

// values are those of one page, nulls left out. next returns the bytes that PLAIN has for the next one, which are valid
// until it is called again, and false if the page has no more, or no such.
// https://github.com/apache/parquet-format/blob/master/Encodings.md
type values interface {
	next() (value []byte, ok bool)
}

// fixedValues are PLAIN values that have width bytes each.
type fixedValues struct {
	data  []byte
	width int
}

func (v *fixedValues) next() ([]byte, bool) {
	if len(v.data) < v.width {
		return nil, false
	}
	value := v.data[:v.width]
	v.data = v.data[v.width:]
	return value, true
}

// byteArrays are PLAIN values that have their length before them.
type byteArrays struct{ data []byte }

func (v *byteArrays) next() ([]byte, bool) {
	const prefix = 4
	if len(v.data) < prefix {
		return nil, false
	}
	n := uint64(binary.LittleEndian.Uint32(v.data))
	if n > uint64(len(v.data)-prefix) {
		return nil, false
	}
	value := v.data[prefix : prefix+n]
	v.data = v.data[prefix+n:]
	return value, true
}

// booleans are runs of one bit each. PLAIN has nothing but one run of packed ones.
type booleans struct{ runs runs }

var booleanValues = [2][]byte{{0}, {1}}

func (v *booleans) next() ([]byte, bool) {
	bit, ok := v.runs.next()
	return booleanValues[bit&1], ok
}

// dictionary is what a dictionary page has. The buffers of one serve the next.
type dictionary struct {
	page []byte
	// width is how many bytes a value has. Zero: offsets says where each begins, after its length.
	width   int
	offsets []uint32
	// n is how many values there are.
	n int
}

func (d *dictionary) value(i uint32) []byte {
	if d.width > 0 {
		return d.page[int(i)*d.width:][:d.width]
	}
	offset := d.offsets[i]
	n := binary.LittleEndian.Uint32(d.page[offset:])
	return d.page[offset+4:][:n]
}

// entries are values that are indices into a dictionary.
type entries struct {
	indices    runs
	dictionary *dictionary
}

func (v *entries) next() ([]byte, bool) {
	i, ok := v.indices.next()
	if !ok || uint64(i) >= uint64(v.dictionary.n) {
		return nil, false
	}
	return v.dictionary.value(i), true
}

// maxBitWidth is the width of the largest numbers that there are runs of.
const maxBitWidth = 32

// runs reads numbers of width bits: runs of one number, and runs of many that are packed.
// https://github.com/apache/parquet-format/blob/master/Encodings.md#run-length-encoding--bit-packing-hybrid-rle--3
type runs struct {
	data  []byte
	width uint
	// left is how many numbers the run has yet, which are all value, or in packed from the bit at on.
	left   uint64
	value  uint32
	packed []byte
	bit    uint64
}

// packedRun is one run of packed numbers.
func packedRun(data []byte, width uint) runs {
	return runs{width: width, left: uint64(len(data)) * 8 / uint64(width), packed: data}
}

func (r *runs) next() (uint32, bool) {
	for r.left == 0 {
		if !r.nextRun() {
			return 0, false
		}
	}
	r.left--
	if r.packed == nil {
		return r.value, true
	}
	value := bits(r.packed, r.bit) & (1<<r.width - 1)
	r.bit += uint64(r.width)
	return uint32(value), true
}

// bits returns the 32 bits from a bit on, and others above them. What is beyond the end is zero.
func bits(data []byte, bit uint64) uint64 {
	data = data[bit/8:]
	if len(data) >= 8 {
		return binary.LittleEndian.Uint64(data) >> (bit % 8)
	}
	var v uint64
	for i, b := range data {
		v |= uint64(b) << (8 * i)
	}
	return v >> (bit % 8)
}

func (r *runs) nextRun() bool {
	header, n := binary.Uvarint(r.data)
	if n <= 0 || header > 1<<maxBitWidth {
		return false
	}
	r.data = r.data[n:]
	if header&1 == 1 {
		return r.packedRun(header >> 1)
	}
	size := int(r.width+7) / 8
	if len(r.data) < size {
		return false
	}
	r.left, r.value, r.packed = header>>1, 0, nil
	for i, b := range r.data[:size] {
		r.value |= uint32(b) << (8 * i)
	}
	r.data = r.data[size:]
	return true
}

// packedRun begins a run of packed numbers, of which there are eight in a group. The last group of a page may lack the
// bytes of numbers that are not used.
func (r *runs) packedRun(groups uint64) bool {
	if r.width == 0 {
		r.left, r.value, r.packed = 8*groups, 0, nil
		return true
	}
	n := min(groups*uint64(r.width), uint64(len(r.data)))
	width := r.width
	rest := r.data[n:]
	*r = packedRun(r.data[:n:n], width)
	r.data = rest
	return true
}
