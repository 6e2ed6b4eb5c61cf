// Copyright The awsloki Authors
// SPDX-License-Identifier: Apache-2.0

package s3log

import (
	"strings"
	"testing"
)

func TestCloudFrontW3C(t *testing.T) {
	assertSaid(
		t, CloudFront,
		said{record: "#Version: 1.0", header: true},
		said{record: cloudFrontFields, header: true},
		said{record: cloudFrontSample, time: "2019-12-04T21:02:31Z", status: 200},
		said{record: strings.Replace(cloudFrontSample, "\t200\t", "\t000\t", 1), time: "2019-12-04T21:02:31Z"},
		said{record: strings.Replace(cloudFrontSample, "\t200\t", "\t-\t", 1), time: "2019-12-04T21:02:31Z"},
		said{record: strings.ReplaceAll(cloudFrontSample, "\t", " "), time: "2019-12-04T21:02:31Z", status: 200},
		// A user's choice of fields, in mid-object.
		said{record: "#Fields: sc-status cs-method timestamp(ms) c-ip", header: true},
		said{record: "404\tGET\t1573761601045\t192.0.2.1", time: "2019-11-14T20:00:01.045Z", status: 404},
		said{record: "404\tGET\t-\t192.0.2.1", status: 404},
		said{record: "404\tGET\t1573761601045", status: 404}, // cut short, maybe
		said{record: "#"},
		said{record: "#Software: other"},
		said{record: "404\tGET\t1573761601045\t192.0.2.1", time: "2019-11-14T20:00:01.045Z", status: 404},
		said{record: "#Fields: timestamp", header: true},
		said{record: "1573761601.045", time: "2019-11-14T20:00:01.045Z"},
		said{record: "1573761601", time: "2019-11-14T20:00:01Z"},
		// The date and the time go before others.
		said{record: "#Fields: timestamp timestamp(ms) time cs-method date", header: true},
		said{record: "1\t1\t20:00:01\tGET\t2019-11-14", time: "2019-11-14T20:00:01Z"},
		said{record: "1\t1\t20:00:01\tGET\t-"},
		said{record: "#Fields: cs-method c-ip", header: true},
		said{record: "GET\t192.0.2.1"},
		said{record: "2019-12-04\t21:02:31"},
	)
}

func TestCloudFrontPlain(t *testing.T) {
	assertSaid(
		t, CloudFront,
		said{record: cloudFrontSample, time: "2019-12-04T21:02:31Z", status: 200},
		said{record: strings.ReplaceAll(cloudFrontSample, "\t", " "), time: "2019-12-04T21:02:31Z", status: 200},
		said{record: "2023-04-26\t07:25:11\tABC11-C1\t122254", time: "2023-04-26T07:25:11Z"},
		said{record: strings.Replace(cloudFrontSample, "\tGET\t", "\t443\t", 1), time: "2019-12-04T21:02:31Z"},
		said{record: "GET\t192.0.2.1\t200"},
	)
}

func TestCloudFrontJSON(t *testing.T) {
	const at = "2019-11-14T20:00:01Z"
	assertSaid(
		t, CloudFront,
		// The first lines are no header.
		said{record: cloudFrontJSONSample, time: at, status: 200},
		said{record: cloudFrontJSONSample, time: at, status: 200},
		said{record: `{"sc-status":"000","time":"20:00:01","date":"2019-11-14"}`, time: at},
		said{record: `{"sc-status":"-","time":"20:00:01","date":"2019-11-14"}`, time: at},
		said{record: `{"sc-status":404,"timestamp(ms)":"1573761601045"}`, time: "2019-11-14T20:00:01.045Z", status: 404},
		said{record: `{"timestamp(ms)":1573761601045,"date":"-","time":"-","sc-status":"200"}`, time: "2019-11-14T20:00:01.045Z", status: 200},
		said{record: `{"timestamp":"1573761601.045","sc-status":"503"}`, time: "2019-11-14T20:00:01.045Z", status: 503},
		said{record: `{"timestamp":1573761601}`, time: at},
		// Parquet's names.
		said{record: `{"cs_method":"GET","timestamp_ms":1573761601045,"sc_status":302}`, time: "2019-11-14T20:00:01.045Z", status: 302},
		// Only members of the record count.
		said{record: `{"a":{"date":"2001-01-01","time":"00:00:00","sc-status":"200"}}`},
		said{record: `{"date":null,"time":[],"sc-status":{}}`},
		// Nothing is left of the record before.
		said{record: `{}`},
	)
}

// The user may choose what is between the fields.
func TestCloudFrontDelimiter(t *testing.T) {
	for _, delimiter := range []string{"\t", " ", ",", "|", ";"} {
		line := strings.Join([]string{"2019-12-04", "21:02:31", "LAX1", "404"}, delimiter)
		assertSaid(
			t, CloudFront,
			said{record: "#Fields: date time x-edge-location sc-status", header: true},
			said{record: line, time: "2019-12-04T21:02:31Z", status: 404},
		)
	}
}
