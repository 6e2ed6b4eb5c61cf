// Copyright The awsloki Authors
// SPDX-License-Identifier: Apache-2.0

package s3log

import "bytes"

// s3Access reads owner bucket [time] ip requester request-id operation key "request-uri" status ...: the key is URL
// encoded, so that nothing with a space comes between the time and the Request-URI.
func s3Access(record []byte) Record {
	const timeLen = len("[dd/MMM/yyyy:hh:mm:ss +hhmm] ")
	rest := after(record, ' ', 2)
	if len(rest) < timeLen || rest[timeLen-1] != ' ' {
		return Record{}
	}
	return Record{
		Time:   bracketedTime(rest[:timeLen-1]),
		Status: statusAfterURI(after(rest[timeLen:], ' ', 5)),
	}
}

// bracketedTime reads [dd/MMM/yyyy:hh:mm:ss +hhmm].
func bracketedTime(text []byte) int64 {
	if text[0] != '[' || text[3] != '/' || text[7] != '/' || text[12] != ':' || text[21] != ' ' || text[27] != ']' {
		return 0
	}
	local := onDay(four(text[8:]), monthNamed(text[4:7]), two(text[1:]), text[13:21])
	if local < 0 {
		return 0
	}
	return inBasicZone(local, text[22:27])
}

// statusAfterURI reads "request-uri" status ..., or - status .... S3 writes the Request-URI as it came, without escapes
// for the quotation marks in it, so that only one with a status or a dash after it ends it:
// https://github.com/cocoonlife/s3-log-parse/issues/1.
func statusAfterURI(rest []byte) int {
	if len(rest) == 0 || rest[0] != '"' {
		status, _ := field(rest, ' ', 2)
		return httpStatus(status)
	}
	for rest = rest[1:]; ; {
		quote := bytes.Index(rest, []byte(`" `))
		if quote < 0 {
			return 0
		}
		rest = rest[quote+len(`" `):]
		// No status is longer: what ends the token is looked for no further.
		token, _ := field(rest[:min(len(rest), len("200 "))], ' ', 1)
		if status := httpStatus(token); status > 0 || string(token) == "-" {
			return status
		}
	}
}
