// Copyright The awsloki Authors
// SPDX-License-Identifier: Apache-2.0

package awslogs

import (
	"bytes"

	"github.com/awsloki/awsloki/internal/awslogs/s3log"
)

// frame is where a record stands in a part of a stream: without its line end, or what else is not of it.
type frame struct {
	start, end int
	// number is its place in the stream, counted from 1: that of its (first) line, or else of the record.
	number int
}

// A framer finds the records of a stream, one after another.
type framer interface {
	// next returns the first record of data, and how many bytes of data are up to its end. There may be no record in
	// those bytes. None: the record does not end in data; it is called again with more of the stream, or with ended set,
	// which says that nothing comes after data. Data begins where those bytes ended, and may at first have less than it
	// had. The error is for good.
	next(data []byte, ended bool) (f frame, n int, err error)
	// place says where in the stream it is, for an error.
	place() (what string, number int)
}

func newFramer(object s3log.Object) framer {
	switch object.Framing {
	case s3log.JoinedLines:
		return &joinedFramer{starts: object.StartsRecord}
	case s3log.JSONDocuments:
		return &documentFramer{}
	case s3log.JSONRecords:
		return &arrayFramer{}
	default:
		return &lineFramer{}
	}
}

// lineFramer takes lines for records. They end with LF or CRLF, the last one also without. Empty ones are none.
type lineFramer struct {
	// searched is how much of the line at hand has no newline.
	searched int
	// lines is how many there were.
	lines int
}

func (l *lineFramer) next(data []byte, ended bool) (f frame, n int, err error) {
	i := bytes.IndexByte(data[l.searched:], '\n')
	switch {
	case i >= 0:
		n = l.searched + i + len("\n")
		f.end = textSize(data[:n])
	case ended && len(data) > 0:
		f.end, n = len(data), len(data)
	default:
		l.searched = len(data)
		return frame{}, 0, nil
	}
	l.searched = 0
	l.lines++
	f.number = l.lines
	return f, n, nil
}

// textSize is the size of a line without its LF or CRLF. CR alone ends no line.
func textSize(line []byte) int {
	text, ok := bytes.CutSuffix(line, []byte("\n"))
	if ok {
		text = bytes.TrimSuffix(text, []byte("\r"))
	}
	return len(text)
}

func (l *lineFramer) place() (what string, number int) { return "line", l.lines + 1 }

// maxJoinedBytes is how long a record of several lines may become: Loki's max_line_size. Lines beyond are records.
// https://grafana.com/docs/loki/latest/configure/#limits_config
const maxJoinedBytes = 256 << 10

// joinedFramer takes for a record a line that starts one, and the lines behind it that do not. Lines before the first
// that does are records of their own: a log that looks otherwise than it should comes as lines.
type joinedFramer struct {
	starts func(line []byte) bool

	lines lineFramer
	// record is what there is up to here of the record at hand, and size how much of data that is, with its line ends.
	record frame
	size   int
}

func (j *joinedFramer) next(data []byte, ended bool) (f frame, n int, err error) {
	for {
		line, n, _ := j.lines.next(data[j.size:], ended)
		if n == 0 {
			if ended && j.size > 0 {
				return j.take()
			}
			return frame{}, 0, nil
		}
		text := data[j.size+line.start : j.size+line.end]
		switch starts := j.starts(text); {
		case j.size == 0 && !starts:
			return line, n, nil
		case j.size == 0:
			j.record = line
		case starts || j.size+n > maxJoinedBytes:
			j.lines.lines-- // it is not taken yet
			return j.take()
		case line.end > 0:
			j.record.end = j.size + line.end
		}
		j.size += n
	}
}

func (j *joinedFramer) take() (f frame, n int, err error) {
	f, n = j.record, j.size
	j.record, j.size = frame{}, 0
	return f, n, nil
}

func (j *joinedFramer) place() (what string, number int) {
	if j.size > 0 {
		return "line", j.record.number
	}
	return j.lines.place()
}
