// Copyright The awsloki Authors
// SPDX-License-Identifier: Apache-2.0

// Package awsevents makes the events that AWS invokes a Lambda function with, as its guide shows them, with all the fields
// that nobody reads.
// https://docs.aws.amazon.com/lambda/latest/dg/lambda-services.html
package awsevents

import (
	"encoding/json"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// Names of the account that the events are of.
const (
	Region  = "us-east-1"
	Account = "123456789012"
	Queue   = "arn:aws:sqs:" + Region + ":" + Account + ":logs"
	Stream  = "arn:aws:kinesis:" + Region + ":" + Account + ":stream/logs"
	topic   = "arn:aws:sns:" + Region + ":" + Account + ":logs"
)

// Object is an object that something has happened to.
type Object struct {
	Bucket, Key, ETag string
	Size              int
	Time              time.Time
}

type object = map[string]any

// encode returns the JSON of what these functions make, all of which can be encoded.
func encode(v any) []byte {
	content, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return content
}

func records(records ...object) []byte { return encode(object{"Records": records}) }

// S3 is a notification of S3's, by its name such as ObjectCreated:Put.
func S3(name string, objects ...Object) []byte {
	all := make([]object, 0, len(objects))
	for _, o := range objects {
		all = append(all, object{
			"eventVersion": "2.5",
			"eventSource":  "aws:s3",
			"awsRegion":    Region,
			"eventTime":    o.Time.UTC().Format("2006-01-02T15:04:05.000Z"),
			"eventName":    name,
			"userIdentity": object{"principalId": "AWS:AIDAINPONIXMPLT42"},
			"s3": object{
				"s3SchemaVersion": "1.0",
				"configurationId": "logs",
				"bucket": object{
					"name": o.Bucket, "arn": "arn:aws:s3:::" + o.Bucket, "ownerIdentity": object{"principalId": "A3NL1KOZZKExample"},
					"awsGeneratedTags": object{"aws:cloudformation:stack-name": "logs"},
				},
				"object": object{
					// As S3 writes them, a slash stays and a space becomes a plus sign.
					"key":  strings.ReplaceAll(url.QueryEscape(o.Key), "%2F", "/"),
					"size": o.Size, "eTag": o.ETag, "sequencer": "0A1B2C3D4E5F678901",
				},
			},
		})
	}
	return records(all...)
}

// TestEvent is what S3 sends when notifications are set up.
func TestEvent() []byte {
	return encode(object{
		"Service": "Amazon S3", "Event": "s3:TestEvent", "Time": "2014-10-13T15:57:02.089Z", "Bucket": "bucketname",
		"RequestId": "5582815E1AEA5ADF", "HostId": "8cLeGAmw098X5cv4Zkwcmo8vvZa3eH3eKxsPzbB9wrR+YstdA6Knx4Ip8EXAMPLE",
	})
}

// EventBridge is an event of S3's that comes by EventBridge, by its type such as Object Created.
func EventBridge(detailType string, o Object) []byte {
	return encode(object{
		"version": "0", "id": "17793124-05d4-b198-2fde-7ededc63b103", "detail-type": detailType, "source": "aws.s3",
		"account": Account, "time": o.Time.UTC().Format(time.RFC3339), "region": Region,
		"resources": []string{"arn:aws:s3:::" + o.Bucket},
		"detail": object{
			"version": "0", "bucket": object{"name": o.Bucket},
			"object":     object{"key": o.Key, "size": o.Size, "etag": o.ETag, "sequencer": "617f08299329d189"},
			"request-id": "N4N7GDK58NMKJ12R", "requester": Account, "source-ip-address": "1.2.3.4", "reason": "PutObject",
		},
	})
}

// SNS is an event of an SNS topic, with one message.
func SNS(message []byte) []byte {
	return records(object{
		"EventVersion": "1.0", "EventSubscriptionArn": topic + ":21be56ed-a058-49f5-8c98-aedd2564c486", "EventSource": "aws:sns",
		"Sns": notification("Notification", message),
	})
}

// Notification is what SNS makes of a message for a queue, unless raw delivery is switched on.
func Notification(message []byte) []byte { return encode(notification("Notification", message)) }

// Confirmation is what SNS sends to a new subscriber.
func Confirmation() []byte {
	return encode(notification("SubscriptionConfirmation", []byte("You have chosen to subscribe to the topic.")))
}

func notification(kind string, message []byte) object {
	return object{
		"Type": kind, "MessageId": "95df01b4-ee98-5cb9-9903-4c221d41eb5e", "TopicArn": topic, "Subject": "Amazon S3 Notification",
		"Message": string(message), "Timestamp": "2019-01-02T12:45:07.000Z", "SignatureVersion": "1", "Signature": "tcc6faL2yUC6dgZdmrwh1Y4c",
		"SigningCertUrl": "https://sns.us-east-1.amazonaws.com/SimpleNotificationService-ac565b8b1a6c5d002d285f9598aa1d9b.pem",
		"UnsubscribeUrl": "https://sns.us-east-1.amazonaws.com/?Action=Unsubscribe", "MessageAttributes": object{},
	}
}

// SQS is a batch of a queue. The messages have the ids m1, m2 and so on.
func SQS(bodies ...[]byte) []byte {
	all := make([]object, 0, len(bodies))
	for i, body := range bodies {
		all = append(all, object{
			"messageId": fmt.Sprintf("m%d", i+1), "receiptHandle": "AQEBwJnKyrHigUMZj6rYigCgxlaS3SLy0a", "body": string(body),
			"attributes": object{"ApproximateReceiveCount": "1", "SentTimestamp": "1545082649183", "SenderId": "AIDAIENQZJOLO23YVJ4VO"},
			"md5OfBody":  "e4e68fb7bd0e697a0ae8f1bb342846b3", "eventSource": "aws:sqs", "eventSourceARN": Queue, "awsRegion": Region,
		})
	}
	return records(all...)
}

// Kinesis is a batch of a stream's shard. The records have the sequence numbers 1, 2 and so on.
func Kinesis(arrival time.Time, data ...[]byte) []byte {
	all := make([]object, 0, len(data))
	for i, d := range data {
		sequence := strconv.Itoa(i + 1)
		all = append(all, object{
			"kinesis": object{
				"kinesisSchemaVersion": "1.0", "partitionKey": "1", "sequenceNumber": sequence, "data": d,
				"approximateArrivalTimestamp": float64(arrival.UnixMilli()) / 1000,
			},
			"eventSource": "aws:kinesis", "eventVersion": "1.0", "eventID": "shardId-000000000006:" + sequence,
			"eventName": "aws:kinesis:record", "invokeIdentityArn": "arn:aws:iam::" + Account + ":role/lambda-role",
			"awsRegion": Region, "eventSourceARN": Stream,
		})
	}
	return records(all...)
}
