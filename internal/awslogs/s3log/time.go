// Copyright The awsloki Authors
// SPDX-License-Identifier: Apache-2.0

package s3log

import "time"

// Times are in nanoseconds since the epoch, UTC; 0 stands for none, or for none that is valid. Years outside of these
// are not valid, since int64 holds no more.
const (
	minYear = 1970
	maxYear = 2261
)

const (
	secondsPerDay = 24 * 60 * 60
	// endOfTime is the first second that is not valid any more: 2262-01-01T00:00:00Z.
	endOfTime = 9_214_646_400
)

// rfc3339 takes what time.Parse(time.RFC3339, ...) takes, but for hours of one digit and for commas before fractions.
func rfc3339(text []byte) int64 {
	local, zone, ok := dateTime(text)
	if !ok {
		return 0
	}
	return inZone(local, zone)
}

// rfc3339OrUTC is rfc3339 for times that may lack their zone.
func rfc3339OrUTC(text []byte) int64 {
	local, zone, ok := dateTime(text)
	switch {
	case !ok:
		return 0
	case len(zone) == 0:
		return local
	default:
		return inZone(local, zone)
	}
}

// rfc3339OrBasicZone is rfc3339 for times of which the zone may lack its colon.
func rfc3339OrBasicZone(text []byte) int64 {
	local, zone, ok := dateTime(text)
	if !ok {
		return 0
	}
	if len(zone) == len("+hhmm") {
		return inBasicZone(local, zone)
	}
	return inZone(local, zone)
}

// dateTime reads YYYY-MM-DDThh:mm:ss with or without a fraction. zone is what follows.
func dateTime(text []byte) (local int64, zone []byte, ok bool) {
	const seconds = len("YYYY-MM-DDThh:mm:ss")
	if len(text) < seconds || text[10] != 'T' {
		return 0, nil, false
	}
	local = dateAndClock(text[:10], text[11:seconds])
	nanos, zone := fraction(text[seconds:])
	return local + nanos, zone, local >= 0
}

// inZone is local time in the zone that text says: Z or +hh:mm.
func inZone(local int64, text []byte) int64 {
	if len(text) == 1 && text[0] == 'Z' {
		return local
	}
	if len(text) != len("+hh:mm") || text[3] != ':' {
		return 0
	}
	return withOffset(local, text[0], two(text[1:]), two(text[4:]))
}

// inBasicZone is local time in the zone that text says: +hhmm.
func inBasicZone(local int64, text []byte) int64 {
	if len(text) != len("+hhmm") {
		return 0
	}
	return withOffset(local, text[0], two(text[1:]), two(text[3:]))
}

// withOffset takes offsets of 24 hours and of 60 minutes as well: as time.Parse says, some people do write them.
func withOffset(local int64, sign byte, hours, minutes uint) int64 {
	if hours > 24 || minutes > 60 {
		return 0
	}
	offset := int64(hours*60+minutes) * int64(time.Minute)
	switch sign {
	case '+':
		return max(local-offset, 0)
	case '-':
		return local + offset
	default:
		return 0
	}
}

// dateAndClock is the time of YYYY-MM-DD and hh:mm:ss, -1 if one of them is something else.
func dateAndClock(date, clock []byte) int64 {
	if len(date) != len("YYYY-MM-DD") || date[4] != '-' || date[7] != '-' {
		return -1
	}
	return onDay(four(date), two(date[5:]), two(date[8:]), clock)
}

// onDay is the time of a day and of hh:mm:ss, -1 if there is no such time.
func onDay(year, month, day uint, clock []byte) int64 {
	if year < minYear || maxYear < year || month < 1 || 12 < month || day < 1 || daysIn(year, month) < day {
		return -1
	}
	if len(clock) != len("hh:mm:ss") || clock[2] != ':' || clock[5] != ':' {
		return -1
	}
	hour, minute, second := two(clock), two(clock[3:]), two(clock[6:])
	if hour > 23 || minute > 59 || second > 59 {
		return -1
	}
	seconds := days(year, month, day)*secondsPerDay + hour*60*60 + minute*60 + second
	return int64(seconds) * int64(time.Second)
}

func daysIn(year, month uint) uint {
	switch month {
	case 4, 6, 9, 11:
		return 30
	case 2:
		if year%4 == 0 && (year%100 != 0 || year%400 == 0) {
			return 29
		}
		return 28
	default:
		return 31
	}
}

// days counts from 1970-01-01. Years begin in March here, so that February's last day is the last of all.
func days(year, month, day uint) uint {
	const before1970 = 719_468 // from 0000-03-01
	if month <= 2 {
		year--
		month += 12
	}
	return 365*year + year/4 - year/100 + year/400 + (153*(month-3)+2)/5 + day - 1 - before1970
}

// notDigits is more than any part of a time may be.
const notDigits = 10_000

// two reads two digits at the beginning of text.
func two(text []byte) uint {
	_ = text[1]
	tens, ones := text[0]-'0', text[1]-'0'
	if tens > 9 || ones > 9 {
		return notDigits
	}
	return uint(tens)*10 + uint(ones)
}

// four reads four digits at the beginning of text.
func four(text []byte) uint { return two(text)*100 + two(text[2:]) }

// milliseconds reads three digits, -1 if there are others.
func milliseconds(text []byte) int64 {
	if len(text) != 3 || !isDigit(text[0]) {
		return -1
	}
	ms := uint(text[0]-'0')*100 + two(text[1:])
	if ms > 999 {
		return -1
	}
	return int64(ms) * int64(time.Millisecond)
}

// fraction reads the fraction that text may begin with, in nanoseconds. Digits after the ninth do not count.
func fraction(text []byte) (nanos int64, rest []byte) {
	if len(text) < 2 || text[0] != '.' || !isDigit(text[1]) {
		return 0, text
	}
	digits := 1
	for ; digits < len(text) && isDigit(text[digits]); digits++ {
		if digits < len(nanosecondsOf) {
			nanos = nanos*10 + int64(text[digits]-'0')
		}
	}
	return nanos * nanosecondsOf[min(digits, len(nanosecondsOf))-1], text[digits:]
}

// nanosecondsOf is what the last of so many digits of a fraction counts.
var nanosecondsOf = [...]int64{1e9, 1e8, 1e7, 1e6, 1e5, 1e4, 1e3, 100, 10, 1}

// epochSeconds reads how many seconds have passed since the epoch, with or without a fraction.
func epochSeconds(text []byte) int64 {
	seconds, rest := wholeNumber(text, endOfTime)
	nanos, rest := fraction(rest)
	if len(rest) > 0 || len(text) == 0 {
		return 0
	}
	return seconds*int64(time.Second) + nanos
}

// epochMilliseconds reads how many whole milliseconds have passed since the epoch.
func epochMilliseconds(text []byte) int64 {
	ms, rest := wholeNumber(text, endOfTime*1000)
	if len(rest) > 0 {
		return 0
	}
	return ms * int64(time.Millisecond)
}

// wholeNumber reads digits that are a number below limit. rest is what follows, or all of text if it is not below.
func wholeNumber(text []byte, limit int64) (n int64, rest []byte) {
	for i, c := range text {
		if !isDigit(c) {
			return n, text[i:]
		}
		if n = n*10 + int64(c-'0'); n >= limit {
			return 0, text
		}
	}
	return n, nil
}

// monthNamed is 0 if there is none of that name.
func monthNamed(name []byte) uint {
	switch string(name) {
	case "Jan":
		return 1
	case "Feb":
		return 2
	case "Mar":
		return 3
	case "Apr":
		return 4
	case "May":
		return 5
	case "Jun":
		return 6
	case "Jul":
		return 7
	case "Aug":
		return 8
	case "Sep":
		return 9
	case "Oct":
		return 10
	case "Nov":
		return 11
	case "Dec":
		return 12
	default:
		return 0
	}
}

func isDigit(c byte) bool { return c-'0' <= 9 }
