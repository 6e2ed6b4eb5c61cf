// Copyright The awsloki Authors
// SPDX-License-Identifier: Apache-2.0

package s3log

const mskStart = "[0000-00-00 00:00:00,000]"

// mskBroker reads [YYYY-MM-DD hh:mm:ss,mmm] LEVEL message: Log4j's layout in the Kafka that MSK runs, in UTC. The
// message may have more lines, such as those of a stack trace.
func mskBroker(record []byte) Record {
	if !startsLike(record, mskStart) {
		return Record{}
	}
	seconds := dateAndClock(record[1:11], record[12:20])
	if seconds < 0 {
		return Record{}
	}
	return Record{Time: seconds + milliseconds(record[21:24])}
}

// startsLike says whether line begins like start, in which a zero stands for any digit.
func startsLike(line []byte, start string) bool {
	if len(line) < len(start) {
		return false
	}
	for i := range len(start) {
		if line[i] != start[i] && (start[i] != '0' || !isDigit(line[i])) {
			return false
		}
	}
	return true
}
