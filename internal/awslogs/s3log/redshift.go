// Copyright The awsloki Authors
// SPDX-License-Identifier: Apache-2.0

package s3log

import "bytes"

// redshiftConnection reads event |recordtime|remotehost|...
func redshiftConnection(record []byte) Record {
	return Record{Time: recordTime(endedField(record, '|', 2))}
}

// redshiftUser reads userid|username|oldusername|action|usecreatedb|usesuper|usecatupd|valuntil|pid|xid|recordtime.
func redshiftUser(record []byte) Record {
	text, _ := field(record, '|', 11)
	return Record{Time: recordTime(text)}
}

// recordTime reads "Mon, 2 Mar 2020 16:31:36:519", UTC: days of one digit are not padded, fields may be.
func recordTime(text []byte) int64 {
	const fromMonth = "Mar 2020 16:31:36:519"
	text = bytes.TrimSpace(text)
	monthAt := len(text) - len(fromMonth)
	day, ok := dayAfterWeekday(text[:max(monthAt, 0)])
	if !ok {
		return 0
	}
	text = text[monthAt:]
	if text[3] != ' ' || text[8] != ' ' || text[17] != ':' {
		return 0
	}
	seconds := onDay(four(text[4:]), monthNamed(text[:3]), day, text[9:17])
	ms := milliseconds(text[18:])
	if seconds < 0 || ms < 0 {
		return 0
	}
	return seconds + ms
}

// dayAfterWeekday reads "Mon, 2 " or "Mon, 12 ".
func dayAfterWeekday(text []byte) (day uint, ok bool) {
	switch {
	case len(text) == len("Mon, 2 ") && isDigit(text[5]):
		day = uint(text[5] - '0')
	case len(text) == len("Mon, 12 "):
		day = two(text[5:])
	default:
		return 0, false
	}
	return day, text[3] == ',' && text[4] == ' ' && text[len(text)-1] == ' '
}

const redshiftUserActivityStart = "'0000-00-00T00:00:00Z UTC ["

// redshiftUserActivity reads 'YYYY-MM-DDThh:mm:ssZ UTC [ db=... user=... pid=... userid=... xid=... ]' LOG: query. The
// query has the lines that it was written in.
func redshiftUserActivity(record []byte) Record {
	if !startsLike(record, redshiftUserActivityStart) {
		return Record{}
	}
	return Record{Time: rfc3339(record[1:21])}
}
