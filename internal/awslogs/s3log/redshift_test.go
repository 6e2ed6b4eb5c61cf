// Copyright The awsloki Authors
// SPDX-License-Identifier: Apache-2.0

package s3log

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
)

func TestRedshiftConnection(t *testing.T) {
	assertSaid(
		t, RedshiftConnection,
		said{record: redshiftConnectionSample, time: "2020-12-07T20:01:55.177Z"},
		said{record: `authentication failure |Mon, 21 May 2018 05:20:10:123|::ffff:10.11.12.16 |66790 |98031|vendor |himanshu |password |0|TLSv1.2 |`, time: "2018-05-21T05:20:10.123Z"},
		said{record: `initiating session |Mon, 2 Mar 2020 16:31:36:519   |[local]`, time: "2020-03-02T16:31:36.519Z"},
		said{record: `initiating session |Mon, 32 Mar 2020 16:31:36:519|[local]`},
		said{record: `initiating session |Mon, 2 Mar 2020 16:31:36|[local]`},
		said{record: `initiating session ||[local]`},
	)
}

func TestRedshiftUser(t *testing.T) {
	assertSaid(
		t, RedshiftUser,
		said{record: redshiftUserSample, time: "2020-12-03T10:18:38.695Z"},
		said{record: `1|rdsdb | |alter |1|1|1|9223372036854775807|14872|1061|Thu, 3 Dec 2020 10:18:38:416`, time: "2020-12-03T10:18:38.416Z"},
		said{record: redshiftUserSample + "|one more", time: "2020-12-03T10:18:38.695Z"},
		said{record: `1|rdsdb | |alter |1|1|1|9223372036854775807|14872|1061`},
	)
}

func TestRedshiftUserActivity(t *testing.T) {
	assertSaid(
		t, RedshiftUserActivity,
		said{record: redshiftUserActivitySample, time: "2020-12-08T22:01:55Z"},
		said{record: `'2020-03-02T16:31:36Z UTC [ db=dev user=rdsdb pid=1 userid=1 xid=1 ]' LOG: SELECT 1`, time: "2020-03-02T16:31:36Z"},
		said{record: `'2020-02-30T16:31:36Z UTC [ db=dev user=rdsdb pid=1 userid=1 xid=1 ]' LOG: SELECT 1`},
		said{record: `FROM    stv_slices as ss`},
	)
}

func TestRecordTimeLikeTimeParse(t *testing.T) {
	for at := time.Date(2019, 12, 1, 10, 18, 38, 416e6, time.UTC); at.Year() < 2021; at = at.Add(25*time.Hour + 7*time.Millisecond) {
		text := at.Format("Mon, 2 Jan 2006 15:04:05.000")
		text = text[:len(text)-4] + ":" + text[len(text)-3:]
		assert.Equal(t, at.UnixNano(), recordTime([]byte(text)), text)
		assert.Equal(t, at.UnixNano(), recordTime([]byte(" "+text+"  ")), text)
		for n := range len(text) {
			assert.Zero(t, recordTime([]byte(text[:n])), text[:n])
		}
	}
}
