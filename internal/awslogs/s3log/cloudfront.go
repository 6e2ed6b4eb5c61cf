// Copyright The awsloki Authors
// SPDX-License-Identifier: Apache-2.0

package s3log

import "bytes"

// cloudFront reads standard logs in the formats w3c (which has a header, and which the legacy ones are in), plain and
// json, and rows of parquet files.
// https://docs.aws.amazon.com/AmazonCloudFront/latest/DeveloperGuide/standard-logging.html
type cloudFront struct {
	columns cloudFrontColumns
	json    jsonRecord
	// member is jsonMember, bound once.
	member func(key string) error
	// row is what the JSON record that is being read says. It aliases the record.
	row cloudFrontRow
}

// cloudFrontColumns says where fields stand, counted from 1. Zero: not at all.
type cloudFrontColumns struct {
	date, time, milliseconds, seconds, status int
	// last is how many there are. Zero: no header has said.
	last int
}

// cloudFrontRow are the fields that are read. Nil: there is no such field.
type cloudFrontRow struct {
	date, time            []byte
	milliseconds, seconds []byte
	status                []byte
}

func newCloudFrontParser() Parser {
	c := &cloudFront{}
	c.member = c.jsonMember
	return c.parse
}

func (c *cloudFront) parse(record []byte) Record {
	switch {
	case len(record) == 0:
		return Record{}
	case record[0] == '{':
		return c.parseJSON(record)
	case bytes.HasPrefix(record, []byte("#Version:")):
		return Record{Header: true}
	case bytes.HasPrefix(record, []byte("#Fields:")):
		c.columns = readCloudFrontColumns(record[len("#Fields:"):])
		return Record{Header: true}
	case c.columns.last == 0:
		return plainRow(record).record()
	default:
		return c.columns.row(record).record()
	}
}

// readCloudFrontColumns reads the names of fields. They are the user's choice.
func readCloudFrontColumns(names []byte) cloudFrontColumns {
	var c cloudFrontColumns
	for name := range bytes.FieldsSeq(names) {
		c.last++
		switch string(name) {
		case "date":
			c.date = c.last
		case "time":
			c.time = c.last
		case "timestamp(ms)":
			c.milliseconds = c.last
		case "timestamp":
			c.seconds = c.last
		case "sc-status":
			c.status = c.last
		}
	}
	return c
}

// separator is that of a line's fields: a tab, or what its user has chosen, which stands behind a date.
func separator(line []byte) byte {
	const date = len("2006-01-02")
	if bytes.IndexByte(line, '\t') >= 0 {
		return '\t'
	}
	if len(line) > date && dateAndClock(line[:date], []byte("00:00:00")) >= 0 {
		return line[date]
	}
	return ' '
}

// row leaves out what may have been cut short, and does not look at other columns for the time instead.
func (c cloudFrontColumns) row(line []byte) cloudFrontRow {
	sep := separator(line)
	text := func(n int) []byte {
		if n == 0 {
			return nil
		}
		value, ended := field(line, sep, n)
		if !ended && n < c.last {
			return nil
		}
		return value
	}
	row := cloudFrontRow{status: text(c.status)}
	switch {
	case c.date > 0 && c.time > 0:
		row.date, row.time = text(c.date), text(c.time)
	case c.milliseconds > 0:
		row.milliseconds = text(c.milliseconds)
	default:
		row.seconds = text(c.seconds)
	}
	return row
}

// plainRow reads a line of which nobody has named the fields: they are the default ones if anything is known of them.
func plainRow(line []byte) cloudFrontRow {
	sep := separator(line)
	row := cloudFrontRow{date: endedField(line, sep, 1)}
	row.time, _ = field(line, sep, 2)
	if isMethod(endedField(line, sep, 6)) {
		row.status, _ = field(line, sep, 9)
	}
	return row
}

// isMethod says whether text looks like an HTTP method.
func isMethod(text []byte) bool {
	for _, c := range text {
		if c < 'A' || 'Z' < c {
			return false
		}
	}
	return len(text) > 0
}

func (r cloudFrontRow) record() Record {
	return Record{Time: r.instant(), Status: httpStatus(r.status)}
}

func (r cloudFrontRow) instant() int64 {
	if t := dateAndClock(r.date, r.time); t >= 0 {
		return t
	}
	if t := epochMilliseconds(r.milliseconds); t != 0 {
		return t
	}
	return epochSeconds(r.seconds)
}

func (c *cloudFront) parseJSON(record []byte) Record {
	whole := c.json.read(record, c.member)
	if !whole {
		c.row.milliseconds, c.row.seconds = nil, nil // the date may still have come
	}
	said := c.row.record()
	c.row = cloudFrontRow{}
	return said
}

// jsonMember knows the names of Parquet columns as well, which have neither hyphens nor parentheses.
func (c *cloudFront) jsonMember(key string) error {
	var text *[]byte
	switch key {
	case "date":
		text = &c.row.date
	case "time":
		text = &c.row.time
	case "timestamp(ms)", "timestamp_ms":
		text = &c.row.milliseconds
	case "timestamp":
		text = &c.row.seconds
	case "sc-status", "sc_status":
		text = &c.row.status
	default:
		return c.json.Skip()
	}
	value, err := c.json.value()
	if err != nil {
		return err
	}
	*text = value
	if c.row.status != nil && dateAndClock(c.row.date, c.row.time) >= 0 {
		return errEnough
	}
	return nil
}
