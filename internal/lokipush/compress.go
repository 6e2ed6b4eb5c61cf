// Copyright The awsloki Authors
// SPDX-License-Identifier: Apache-2.0

package lokipush

import (
	"fmt"
	"sync"

	"github.com/klauspost/compress/s2"
)

// buffers are what a batch passes through while it is compressed.
type buffers struct{ plain, compressed []byte }

var bufferPool = sync.Pool{New: func() any { return new(buffers) }}

// AppendCompressed appends the batch as the body of a push request: AppendRequest's bytes, compressed by snappy in its
// block format.
func (b *Batch) AppendCompressed(dst []byte) []byte {
	buf := bufferPool.Get().(*buffers)
	defer bufferPool.Put(buf)
	buf.plain = b.AppendRequest(buf.plain[:0])
	if n := s2.MaxEncodedLen(len(buf.plain)); len(buf.compressed) < n {
		buf.compressed = make([]byte, n)
	}
	// Both buffers are far larger than what comes of them, hence the copy.
	return append(dst, s2.EncodeSnappy(buf.compressed, buf.plain)...)
}

// maxRatio is more than snappy can compress: its longest copy stands for 64 bytes and takes 3 itself.
const maxRatio = 32

// ParseCompressed reads what AppendCompressed wrote. The batch does not alias data.
func ParseCompressed(data []byte) (*Batch, error) {
	size, err := s2.DecodedLen(data)
	if err != nil {
		return nil, fmt.Errorf("read the decoded length: %w", err)
	}
	if size > maxRatio*len(data) {
		return nil, fmt.Errorf("%d bytes cannot decode to %d", len(data), size)
	}
	plain, err := s2.Decode(make([]byte, size), data)
	if err != nil {
		return nil, fmt.Errorf("decompress: %w", err)
	}
	return ParseBatch(plain)
}
