// Copyright The awsloki Authors
// SPDX-License-Identifier: Apache-2.0

package credentials_test

import (
	"bytes"
	"context"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws/arn"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/awsloki/awsloki/lambdaforwarder/internal/credentials"
)

const secret = "s3cret"

func value(s string) credentials.Secret { return credentials.Secret{Value: credentials.Opaque(s)} }

func kept(resource string) credentials.Secret {
	return credentials.Secret{ARN: arn.ARN{
		Partition: "aws", Service: credentials.SSM, Region: "eu-central-1", AccountID: "123456789012", Resource: "parameter/" + resource,
	}}
}

func basic(username, password credentials.Secret) credentials.Settings {
	return credentials.Settings{Username: username, Password: password}
}

func bearer(token credentials.Secret) credentials.Settings {
	return credentials.Settings{BearerToken: token}
}

// store is a store of secrets.
type store struct {
	mu     sync.Mutex
	values map[string]string
	reads  int
	err    error
}

func newStore(values map[string]string) *store { return &store{values: values} }

func (s *store) read(_ context.Context, from arn.ARN) (string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.reads++
	return s.values[from.Resource], s.err
}

func (s *store) set(resource, value string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.values["parameter/"+resource] = value
}

func (s *store) fail(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.err = err
}

func TestParseSecret(t *testing.T) {
	t.Parallel()
	for _, partition := range []string{"aws", "aws-cn", "aws-us-gov", "aws-iso", "aws-iso-b", "aws-iso-e", "aws-iso-f", "aws-eusc"} {
		for service, resource := range map[string]string{"secretsmanager": "secret:path/token-AbCdEf", "ssm": "parameter/path/token"} {
			setting := "arn:" + partition + ":" + service + ":region-1:123456789012:" + resource
			got, err := credentials.ParseSecret(setting)
			require.NoError(t, err, setting)
			assert.Equal(t, credentials.Secret{ARN: arn.ARN{
				Partition: partition, Service: service, Region: "region-1", AccountID: "123456789012", Resource: resource,
			}}, got)
			assert.Equal(t, setting, got.ARN.String())
			assert.True(t, got.IsSet())
			assert.True(t, got.IsKept())
		}
	}
	for _, setting := range []string{"x", " ", "arnold", "ARN:aws:ssm", " arn:aws:ssm:eu-central-1:1:parameter/x", "a:b:c:d:e:f"} {
		got, err := credentials.ParseSecret(setting)
		require.NoError(t, err, setting)
		assert.Equal(t, value(setting), got)
		assert.True(t, got.IsSet())
		assert.False(t, got.IsKept())
	}
	none, err := credentials.ParseSecret("")
	require.NoError(t, err)
	assert.False(t, none.IsSet())
	assert.False(t, none.IsKept())

	for _, setting := range []string{
		"arn:", "arn:" + secret, "arn:aws:ssm:eu-central-1:1", "arn:aws:ssm:eu-central-1:1:", "arn:aws:ssm::1:parameter/" + secret,
		"arn:aws:s3:::" + secret, "arn:aws:iam::123456789012:role/" + secret, "arn:aws:kms:eu-central-1:123456789012:key/" + secret,
		"arn:aws:SSM:eu-central-1:1:parameter/" + secret, "arn:aws::eu-central-1:1:parameter/" + secret,
	} {
		got, err := credentials.ParseSecret(setting)
		require.EqualError(t, err, "an ARN must be that of a secret of Secrets Manager or of a parameter of SSM", setting)
		assert.Zero(t, got)
	}
}

func TestResolve(t *testing.T) {
	t.Parallel()
	got, err := value("plain").Resolve(t.Context(), nil)
	require.NoError(t, err)
	assert.Equal(t, "plain", got)

	s := newStore(map[string]string{"parameter/token": "its value", "parameter/empty": ""})
	got, err = kept("token").Resolve(t.Context(), s.read)
	require.NoError(t, err)
	assert.Equal(t, "its value", got)
	_, err = kept("empty").Resolve(t.Context(), s.read)
	require.EqualError(t, err, "arn:aws:ssm:eu-central-1:123456789012:parameter/empty is empty")

	denied := errors.New("denied")
	s.fail(denied)
	got, err = kept("token").Resolve(t.Context(), s.read)
	require.ErrorIs(t, err, denied)
	assert.Empty(t, got)
}

func TestCheck(t *testing.T) {
	t.Parallel()
	const (
		needsPassword = "`USERNAME` is set and `PASSWORD` is not: basic authentication needs both"
		needsUsername = "`PASSWORD` is set and `USERNAME` is not: basic authentication needs both"
		exclude       = "`BEARER_TOKEN` and `USERNAME` with `PASSWORD` exclude each other"
		control       = " holds a control character, such as a newline at its end"
		colon         = "`USERNAME` holds a colon, which basic authentication cannot carry"
		unsendable    = "`BEARER_TOKEN` holds a character that an HTTP header cannot carry"
	)
	none := credentials.Secret{}
	f := func(settings credentials.Settings, want ...string) {
		t.Helper()
		var got []string
		for _, err := range settings.Check() {
			got = append(got, err.Error())
			assert.NotContains(t, err.Error(), secret)
		}
		assert.Equal(t, want, got)
	}
	f(credentials.Settings{})
	f(basic(value("user"), value("pass:word ü")))
	f(basic(kept("user"), kept("password")))
	f(basic(value("user"), kept("password")))
	f(bearer(value("to/k+e=n")))
	f(bearer(kept("token")))

	f(basic(value(secret), none), needsPassword)
	f(basic(kept("user"), none), needsPassword)
	f(basic(none, value(secret)), needsUsername)
	f(basic(none, kept("password")), needsUsername)
	f(credentials.Settings{Username: value("u"), Password: kept("p"), BearerToken: kept("t")}, exclude)
	f(credentials.Settings{Username: value("u"), BearerToken: value("t")}, needsPassword, exclude)
	f(credentials.Settings{Password: value(secret), BearerToken: value(secret)}, needsUsername, exclude)

	f(basic(value(secret+":"), value("p")), colon)
	f(basic(value(secret+"\x00"), value("p")), "`USERNAME`"+control)
	f(basic(value("u"), value(secret+"\n")), "`PASSWORD`"+control)
	f(basic(value("u"), value("\x7f"+secret)), "`PASSWORD`"+control)
	f(bearer(value(secret+" ")), unsendable)
	f(bearer(value(secret+"ü")), unsendable)
	f(bearer(value(secret+"\r\n")), "`BEARER_TOKEN`"+control+"\n"+unsendable)
	f(basic(value("a:\n"), value("\t")), "`USERNAME`"+control+"\n`PASSWORD`"+control+"\n"+colon)
}

func TestLoad(t *testing.T) {
	t.Parallel()
	s := newStore(map[string]string{"parameter/user": "Aladdin", "parameter/password": "open sesame", "parameter/token": "the-token"})
	f := func(settings credentials.Settings, want string) {
		t.Helper()
		c, err := credentials.Load(t.Context(), settings, s.read)
		require.NoError(t, err)
		assert.Equal(t, want, c.Authorization())
	}
	const aladdin = "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==" // RFC 7617, section 2
	f(credentials.Settings{}, "")
	f(basic(value("Aladdin"), value("open sesame")), aladdin)
	f(basic(kept("user"), kept("password")), aladdin)
	f(basic(value("Aladdin"), kept("password")), aladdin)
	f(basic(value("test"), value("123\u00a3")), "Basic dGVzdDoxMjPCow==") // RFC 7617, section 2.1
	f(bearer(value("token")), "Bearer token")
	f(bearer(kept("token")), "Bearer the-token")
	assert.Equal(t, 4, s.reads, "what is a value is not read")
}

func TestLoadRefuses(t *testing.T) {
	t.Parallel()
	const where = "arn:aws:ssm:eu-central-1:123456789012:parameter/"
	f := func(settings credentials.Settings, content string, want string) {
		t.Helper()
		s := newStore(map[string]string{"parameter/x": content})
		_, err := credentials.Load(t.Context(), settings, s.read)
		require.EqualError(t, err, want)
		assert.NotContains(t, err.Error(), secret)
	}
	f(bearer(kept("x")), "", "read `BEARER_TOKEN`: "+where+"x is empty")
	f(basic(kept("x"), value("p")), "", "read `USERNAME`: "+where+"x is empty")
	f(basic(value("u"), kept("x")), "", "read `PASSWORD`: "+where+"x is empty")
	f(bearer(kept("x")), secret+" ", "`BEARER_TOKEN` holds a character that an HTTP header cannot carry")
	f(basic(value("u"), kept("x")), secret+"\n", "`PASSWORD` holds a control character, such as a newline at its end")
	f(basic(kept("x"), value("p")), secret+":", "`USERNAME` holds a colon, which basic authentication cannot carry")

	s := newStore(map[string]string{})
	s.fail(errors.New("denied"))
	_, err := credentials.Load(t.Context(), bearer(kept("x")), s.read)
	require.EqualError(t, err, "read `BEARER_TOKEN`: denied")
}

func TestRefresh(t *testing.T) {
	t.Parallel()
	s := newStore(map[string]string{"parameter/token": "one"})
	c, err := credentials.Load(t.Context(), bearer(kept("token")), s.read)
	require.NoError(t, err)
	f := func(refused, want string, wantOK bool, reads int) {
		t.Helper()
		before := s.reads
		present, ok := c.Refresh(t.Context(), refused)
		assert.Equal(t, want, present)
		assert.Equal(t, wantOK, ok)
		assert.Equal(t, reads, s.reads-before, "reads")
	}
	f("Bearer one", "Bearer one", false, 1)
	s.set("token", "two")
	f("Bearer one", "Bearer two", true, 1)
	assert.Equal(t, "Bearer two", c.Authorization())
	f("Bearer one", "Bearer two", true, 0) // as one does that was refused at the same time
	f("Bearer two", "Bearer two", false, 1)

	// What cannot be used leaves what there was.
	for _, unusable := range []string{"", "three\n", "th ree"} {
		s.set("token", unusable)
		f("Bearer two", "Bearer two", false, 1)
	}
	s.set("token", "three")
	s.fail(errors.New("denied"))
	f("Bearer two", "Bearer two", false, 1)
	assert.Equal(t, "Bearer two", c.Authorization())
	s.fail(nil)
	f("Bearer two", "Bearer three", true, 1)
}

func TestRefreshOfBoth(t *testing.T) {
	t.Parallel()
	s := newStore(map[string]string{"parameter/password": "one"})
	c, err := credentials.Load(t.Context(), basic(value("user"), kept("password")), s.read)
	require.NoError(t, err)
	assert.Equal(t, "Basic dXNlcjpvbmU=", c.Authorization())
	s.set("password", "two")
	present, ok := c.Refresh(t.Context(), c.Authorization())
	assert.True(t, ok)
	assert.Equal(t, "Basic dXNlcjp0d28=", present)
}

// Of what is not kept elsewhere there is nothing new to read.
func TestRefreshOfValues(t *testing.T) {
	t.Parallel()
	read := func(context.Context, arn.ARN) (string, error) {
		t.Error("nothing is kept elsewhere")
		return "", nil
	}
	for _, settings := range []credentials.Settings{{}, basic(value("u"), value("p")), bearer(value("t"))} {
		c, err := credentials.Load(t.Context(), settings, read)
		require.NoError(t, err)
		present, ok := c.Refresh(t.Context(), c.Authorization())
		assert.False(t, ok)
		assert.Equal(t, c.Authorization(), present)
	}
}

// Many are refused at the same time while the secret is rotated, and each must get on with the new one.
func TestRefreshConcurrently(t *testing.T) {
	t.Parallel()
	const rotations = 50
	var current atomic.Int64
	var reads atomic.Int64
	read := func(context.Context, arn.ARN) (string, error) {
		reads.Add(1)
		return strconv.FormatInt(current.Load(), 10), nil
	}
	c, err := credentials.Load(t.Context(), bearer(kept("token")), read)
	require.NoError(t, err)
	for n := int64(1); n <= rotations; n++ {
		current.Store(n)
		want := fmt.Sprintf("Bearer %d", n)
		refused := c.Authorization()
		before := reads.Load()
		var wg sync.WaitGroup
		for range 16 {
			wg.Go(func() {
				present, ok := c.Refresh(t.Context(), refused)
				assert.True(t, ok)
				assert.Equal(t, want, present)
				assert.Equal(t, want, c.Authorization())
			})
		}
		wg.Wait()
		require.EqualValues(t, 1, reads.Load()-before, "one reads for all")
	}
}

func TestOpaque(t *testing.T) {
	t.Parallel()
	type nested struct {
		Settings credentials.Settings
		Pointer  *credentials.Secret
		List     []credentials.Opaque
		Map      map[string]credentials.Opaque
		Any      any
	}
	one := value(secret)
	v := nested{
		Settings: basic(value(secret), one),
		Pointer:  &one,
		List:     []credentials.Opaque{secret},
		Map:      map[string]credentials.Opaque{"k": secret},
		Any:      credentials.Opaque(secret),
	}
	for _, verb := range []string{"%v", "%+v", "%#v"} {
		for _, x := range []any{v, &v, &one} {
			assert.NotContains(t, fmt.Sprintf(verb, x), secret, verb)
		}
	}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X"} {
		for _, x := range []any{v.Settings, v.List, v.Map, one, one.Value} {
			got := fmt.Sprintf(verb, x)
			assert.NotContains(t, got, secret, verb)
			assert.NotContains(t, got, fmt.Sprintf("%x", secret), verb)
			assert.NotContains(t, got, fmt.Sprintf("%X", secret), verb)
		}
	}
	assert.Equal(t, "[REDACTED]", fmt.Sprint(one.Value))

	content, err := json.Marshal(v)
	require.NoError(t, err)
	assert.NotContains(t, string(content), secret)
	assert.Contains(t, string(content), "[REDACTED]")
	content, err = xml.Marshal(one)
	require.NoError(t, err)
	assert.NotContains(t, string(content), secret)

	var logs bytes.Buffer
	for _, handler := range []slog.Handler{slog.NewJSONHandler(&logs, nil), slog.NewTextHandler(&logs, nil)} {
		slog.New(handler).Info("x", "nested", v, "settings", v.Settings, "secret", one, "opaque", one.Value, "pointer", &one)
	}
	assert.NotContains(t, logs.String(), secret)
	assert.Contains(t, logs.String(), "[REDACTED]")
}

// While somebody waits for a secret, others go on with what there is, and wait no longer than they may.
func TestRefreshHangs(t *testing.T) {
	t.Parallel()
	asked, answer := make(chan struct{}, 2), make(chan struct{})
	reads := 0
	c, err := credentials.Load(t.Context(), credentials.Settings{BearerToken: kept("x")}, func(context.Context, arn.ARN) (string, error) {
		if reads++; reads > 1 {
			asked <- struct{}{}
			<-answer
		}
		return "token", nil
	})
	require.NoError(t, err)
	done := make(chan struct{})
	go func() {
		defer close(done)
		c.Refresh(context.Background(), "Bearer token")
	}()
	<-asked
	assert.Equal(t, "Bearer token", c.Authorization())
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, ok := c.Refresh(ctx, "Bearer token")
	assert.False(t, ok)
	close(answer)
	<-done
}
