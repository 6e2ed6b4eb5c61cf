// Copyright The awsloki Authors
// SPDX-License-Identifier: Apache-2.0

package restampprocessor

import (
	"fmt"
	"os"
	"regexp"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/confmap"

	"github.com/awsloki/awsloki/processor/restampprocessor/internal/metadata"
)

func readme(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile("README.md")
	require.NoError(t, err)
	return string(text)
}

// TestReadmeSettings: the table has every key with its default, and no others.
func TestReadmeSettings(t *testing.T) {
	t.Parallel()
	documented := map[string]string{}
	row := regexp.MustCompile("(?m)^\\| `([^`]+)` \\| `([^`]+)` \\| .+ \\|$")
	for _, m := range row.FindAllStringSubmatch(readme(t), -1) {
		documented[m[1]] = m[2]
	}

	conf := confmap.New()
	require.NoError(t, conf.Marshal(createDefaultConfig()))
	want := map[string]string{}
	for _, key := range conf.AllKeys() {
		want[key] = fmt.Sprint(conf.Get(key))
		if want[key] == "" {
			want[key] = `""`
		}
	}
	assert.Equal(t, want, documented)
}

// TestReadmeExamples: every configuration that the README shows is accepted.
func TestReadmeExamples(t *testing.T) {
	t.Parallel()
	var examples int
	block := regexp.MustCompile("(?s)```yaml\n(.*?)```")
	for _, m := range block.FindAllStringSubmatch(readme(t), -1) {
		retrieved, err := confmap.NewRetrievedFromYAML([]byte(m[1]))
		require.NoError(t, err)
		conf, err := retrieved.AsConf()
		require.NoError(t, err)
		key := "processors::" + metadata.Type.String()
		if !conf.IsSet(key) {
			continue // the builder's manifest
		}
		examples++
		section, err := conf.Sub(key)
		require.NoError(t, err)
		cfg := createDefaultConfig()
		require.NoError(t, section.Unmarshal(cfg))
		assert.NoError(t, confmap.Validate(cfg))
	}
	assert.Equal(t, 2, examples)
}
