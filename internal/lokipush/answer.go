// Copyright The awsloki Authors
// SPDX-License-Identifier: Apache-2.0

package lokipush

import (
	"fmt"
	"net/http"
	"regexp"
	"strconv"
	"strings"
)

// meaning is what an answer says about the lines of a request.
type meaning int

const (
	// later: nothing is known to be stored, and the same request may succeed another time.
	later meaning = iota
	// taken: Loki has all lines but those that it names.
	taken
	// blocked: Loki does not want these lines, now or later.
	blocked
	// divisible: nothing is stored, because of a part of the request, or because it is too large.
	divisible
	// limited: nothing is stored, because more came at once than the tenant may send.
	limited
	// streamLimited: one stream sent more at once than a stream may, is one too many, or is blocked for a while. Of several
	// streams in one request, it is true of one, and maybe of others; the rest is stored.
	streamLimited
)

// verdict is an answer, understood.
type verdict struct {
	meaning meaning
	// reason is why lines are refused, where the answer gives one for all.
	reason Reason
	// refused is how many lines Loki names as refused, where the meaning is taken or, of one stream, streamLimited.
	refused map[Reason]int
	// some says that only some streams of the request are blocked.
	some bool
	// again is the lines that a limit on the one stream refused, where it is known that the others are refused or stored.
	// nil: it is not known, or all lines are.
	again *Batch
	// rate is the limit in bytes per second, and total the size that was refused for it. Loki counts lines and
	// structured metadata. 0: not stated.
	rate, total int64
}

// statusBlocked is Loki's default answer to a tenant whose ingestion is blocked: a success that stores nothing, meant
// to keep clients from trying again (pkg/validation/limits.go, block_ingestion_status_code).
const statusBlocked = 260

// Beginnings and parts of Loki's messages.
const (
	textBlocked        = "ingestion blocked for user"
	textPolicy         = "(policy: '"
	textRateLimit      = "ingestion rate limit exceeded"
	textStreamRate     = "Per stream rate limit exceeded"
	textStreams        = "maximum active stream limit exceeded"
	textNormalization  = "normalization for label name"
	textEmptyName      = "label name is empty"
	textParseLabels    = "couldn't parse labels"
	textReservedLabels = "reserved label"
)

// sizeTexts are in the messages of requests that are too large for a part of Loki, by whatever status they come
// (pkg/util/http.go; dskit/server; grpc).
var sizeTexts = []string{
	"larger than max", "message size too large", "request body too large", "compressed message size", "entity too large",
}

// identityTexts are in the messages about the tenant, not the lines (dskit/tenant).
var identityTexts = []string{"no org id", "multiple org IDs", "tenant ID", "org id"}

// interpret says what an answer to a batch means. Where Loki's answer leaves it open whether it is the lines that it
// dislikes, they are kept: wrong credentials or a wrong path, among others, somebody can put right while they wait.
func (a answer) interpret(b *Batch) verdict {
	switch {
	case a.status == http.StatusOK || a.status == http.StatusNoContent:
		return verdict{meaning: taken}
	case strings.HasPrefix(a.text, textBlocked) && strings.Contains(a.text, textPolicy):
		return a.interpretPolicy(b)
	case a.status == statusBlocked || a.status < 500 && a.status != http.StatusTooManyRequests && strings.HasPrefix(a.text, textBlocked):
		return verdict{meaning: blocked, reason: BlockedIngestion}
	case a.status == http.StatusRequestEntityTooLarge:
		return verdict{meaning: divisible, reason: RequestTooLarge}
	case a.status == http.StatusUnprocessableEntity:
		return verdict{meaning: divisible, reason: BadRequest}
	case a.status == http.StatusBadRequest:
		return a.interpretBadRequest(b)
	case a.status == http.StatusTooManyRequests:
		return a.interpretLimit(b)
	case a.status >= 500:
		return a.interpretServerError()
	default:
		return verdict{}
	}
}

// leavesOpen says whether Loki may have stored a request of which this answer does not say what became of it: the answer was
// lost on its way, or it is that of a gateway which lost Loki's. By a 500 or 503 Loki says that too few of its ingesters
// have it: to take what one of them has for stored would be to lose it with that one.
func (a answer) leavesOpen() bool {
	switch {
	case a.status == 0:
		return !a.unsent
	case a.err != nil:
		return true
	case a.status >= 200 && a.status < 300:
		return true
	default:
		return a.status == statusClientClosed || a.status == http.StatusBadGateway || a.status == http.StatusGatewayTimeout
	}
}

// statusClientClosed is what nginx, and Loki by way of dskit, answer to somebody who has gone.
const statusClientClosed = 499

// interpretPolicy is about streams that a policy of Loki's blocks. It has the others.
func (a answer) interpretPolicy(b *Batch) verdict {
	switch {
	case len(b.streams) > 1:
		return verdict{meaning: blocked, reason: BlockedIngestion, some: true}
	case a.status == http.StatusTooManyRequests || a.status >= 500:
		return verdict{meaning: streamLimited, reason: BlockedIngestion}
	default:
		return verdict{meaning: blocked, reason: BlockedIngestion}
	}
}

func (a answer) interpretBadRequest(b *Batch) verdict {
	if a.err != nil {
		// There may have been more of it.
		return verdict{}
	}
	if ignored, ok := parseIgnored(a.text); ok && ignored.has(StreamRateLimit) {
		return ignored.limited(b)
	}
	if refused := parseRefusals(a.text, b); refused != nil {
		return verdict{meaning: taken, refused: refused}
	}
	switch {
	case containsAny(a.text, sizeTexts):
		return verdict{meaning: divisible, reason: RequestTooLarge}
	case strings.Contains(a.text, textParseLabels), strings.Contains(a.text, textReservedLabels):
		return verdict{meaning: divisible, reason: InvalidLabels}
	case containsAny(a.text, identityTexts), isOfGateway(a.text):
		return verdict{}
	default:
		return verdict{meaning: divisible, reason: BadRequest}
	}
}

// interpretServerError finds the errors that come again however often the request is sent.
func (a answer) interpretServerError() verdict {
	switch {
	case containsAny(a.text, sizeTexts):
		return verdict{meaning: divisible, reason: RequestTooLarge}
	case strings.Contains(a.text, textNormalization), strings.Contains(a.text, textEmptyName):
		return verdict{meaning: divisible, reason: InvalidMetadata}
	default:
		return verdict{}
	}
}

var (
	rateLimitPattern  = regexp.MustCompile(`\(limit: (\d+) bytes/sec\).* totaling '(\d+)' bytes`)
	streamRatePattern = regexp.MustCompile(`\(limit: ([0-9.]+ ?[A-Za-z]*)/sec\)`)
)

func (a answer) interpretLimit(b *Batch) verdict {
	if ignored, ok := parseIgnored(a.text); ok {
		return ignored.limited(b)
	}
	switch {
	case strings.Contains(a.text, textRateLimit):
		v := verdict{meaning: limited, reason: RateLimited}
		if m := rateLimitPattern.FindStringSubmatch(a.text); m != nil {
			v.rate, v.total = atoi(m[1]), atoi(m[2])
		}
		return v
	case strings.Contains(a.text, textStreamRate):
		return verdict{meaning: streamLimited, reason: StreamRateLimit}
	case strings.Contains(a.text, textStreams):
		return verdict{meaning: streamLimited, reason: StreamLimit}
	default:
		return verdict{}
	}
}

// maxMessage is how much of Loki's text goes into an error.
const maxMessage = 1 << 10

// error tells of an answer that is no success. It holds none of the lines.
func (a answer) error() error {
	if a.status == 0 {
		return a.err
	}
	text := strings.Join(strings.Fields(a.text[:min(len(a.text), maxMessage)]), " ")
	err := fmt.Errorf("loki answered %d: %q", a.status, text)
	if a.err != nil {
		err = fmt.Errorf("%w (%w)", err, a.err)
	}
	return err
}

// isOfGateway says whether a text is none of Loki's, which speaks neither HTML nor JSON here and does not know about the
// TLS before it: then it is not about the lines.
func isOfGateway(text string) bool {
	text = strings.TrimSpace(text[:min(len(text), 256)])
	return strings.HasPrefix(text, "<") || strings.HasPrefix(text, "{") || strings.Contains(text, "to an HTTPS server")
}

// isCut says whether there may have been more than the text.
func (a answer) isCut() bool { return len(a.text) >= maxText }

func containsAny(text string, parts []string) bool {
	for _, part := range parts {
		if strings.Contains(text, part) {
			return true
		}
	}
	return false
}

// atoi reads a number that the digits of a pattern are, or 0 if it is too large to be one.
func atoi(digits string) int64 {
	n, err := strconv.ParseInt(digits, 10, 64)
	if err != nil {
		return 0
	}
	return n
}

// parseSize reads a size as Loki writes it: 1536KB, where a KB has 1024 bytes. 0 if it cannot be read.
func parseSize(text string) int64 {
	digits := strings.TrimRight(text, "BKMGTPEi ")
	n, err := strconv.ParseFloat(digits, 64)
	if err != nil || n < 0 {
		return 0
	}
	for _, unit := range "KMGTPE" {
		n *= 1024
		if strings.ContainsRune(text[len(digits):], unit) {
			return int64(min(n, 1<<62))
		}
	}
	return int64(min(n/(1<<60), 1<<62))
}
