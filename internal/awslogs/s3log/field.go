// Copyright The awsloki Authors
// SPDX-License-Identifier: Apache-2.0

package s3log

import (
	"bytes"
	"encoding/binary"
	"math/bits"
)

// field returns the nth field of a line, counted from 1 as AWS's tables are, and whether a separator ends it: what
// the end of the line ends may have been cut short. Nil: there are not as many. It knows nothing of quotation marks.
func field(line []byte, separator byte, n int) (value []byte, ended bool) {
	value = after(line, separator, n-1)
	end := bytes.IndexByte(value, separator)
	if end < 0 {
		return value, false
	}
	return value[:end], true
}

// endedField is field for one that is never a line's last.
func endedField(line []byte, separator byte, n int) []byte {
	value, ended := field(line, separator, n)
	if !ended {
		return nil
	}
	return value
}

// after returns what stands behind the first n separators. Nil: there are not as many.
func after(line []byte, separator byte, n int) []byte {
	const block = 64
	for n > 1 && len(line) >= block {
		count := bytes.Count(line[:block], []byte{separator})
		if count >= n {
			break
		}
		n -= count
		line = line[block:]
	}
	return afterWords(line, separator, n)
}

// afterWords is after for short lines. Fields have a few bytes each, so that it looks at eight bytes at a time: see
// "Determine if a word has a zero byte" in https://graphics.stanford.edu/~seander/bithacks.html.
func afterWords(line []byte, separator byte, n int) []byte {
	const low, high = 0x0101010101010101, 0x8080808080808080
	word := 0
	for ; n > 1 && word+8 <= len(line); word += 8 {
		differs := binary.LittleEndian.Uint64(line[word:word+8]) ^ low*uint64(separator)
		// One bit for each separator.
		found := ^((differs&^high + ^uint64(high)) | differs) & high
		count := bits.OnesCount64(found)
		if count < n {
			n -= count
			continue
		}
		for ; n > 1; n-- {
			found &= found - 1
		}
		return line[word+bits.TrailingZeros64(found)/8+1:]
	}
	for line = line[word:]; n > 0; n-- {
		i := bytes.IndexByte(line, separator)
		if i < 0 {
			return nil
		}
		line = line[i+1:]
	}
	return line
}

// httpStatus reads three digits that are no less than 100. Zero: text is something else.
func httpStatus(text []byte) int {
	if len(text) != 3 || text[0] == '0' || !isDigit(text[0]) || !isDigit(text[1]) || !isDigit(text[2]) {
		return 0
	}
	return int(text[0]-'0')*100 + int(text[1]-'0')*10 + int(text[2]-'0')
}
