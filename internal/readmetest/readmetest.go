// Copyright The awsloki Authors
// SPDX-License-Identifier: Apache-2.0

// Package readmetest checks a component's README against its configuration, so that neither says what the other does
// not.
package readmetest

import (
	"fmt"
	"os"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/confmap"
)

// file is where every component has it.
const file = "README.md"

// module is the path that tells the project's own settings from those of the Collector.
const module = "github.com/awsloki/awsloki/"

var (
	settingRow = regexp.MustCompile("(?m)^\\| `([a-z0-9_:]+)` \\| ([^|]+) \\|")
	yamlBlock  = regexp.MustCompile("(?s)```yaml\n(.*?)```")
	quoted     = regexp.MustCompile("^`(.+)`$")
)

// Settings checks that the tables of settings have every key of the component's own, and that each default that stands
// in backquotes is the default. An empty string is written as `""`.
func Settings(t *testing.T, defaults component.Config) {
	t.Helper()
	conf := confmap.New()
	require.NoError(t, conf.Marshal(defaults))
	documented := map[string]bool{}
	for _, row := range settingRow.FindAllStringSubmatch(readme(t), -1) {
		key, value := row[1], quoted.FindStringSubmatch(strings.TrimSpace(row[2]))
		documented[key] = true
		if value == nil {
			continue
		}
		want := fmt.Sprint(conf.Get(key))
		if want == "" {
			want = `""`
		}
		assert.Equal(t, want, value[1], "default of %s", key)
	}
	for _, key := range ownKeys(reflect.TypeOf(defaults).Elem(), "") {
		assert.True(t, documented[key], "%s has no row for %s", file, key)
	}
}

// ownKeys are the keys of the settings that are declared in this module.
func ownKeys(config reflect.Type, prefix string) (keys []string) {
	for i := range config.NumField() {
		field := config.Field(i)
		name, options, _ := strings.Cut(field.Tag.Get("mapstructure"), ",")
		own := field.Type.Kind() == reflect.Struct && strings.HasPrefix(field.Type.PkgPath(), module)
		switch {
		case own && options == "squash":
			keys = append(keys, ownKeys(field.Type, prefix)...)
		case strings.Contains(options, "squash") || name == "":
		case own:
			keys = append(keys, ownKeys(field.Type, prefix+name+confmap.KeyDelimiter)...)
		default:
			keys = append(keys, prefix+name)
		}
	}
	return keys
}

// Examples checks that every configuration that the README shows under key, such as "receivers::otlp", is accepted.
// There must be as many as stated.
func Examples(t *testing.T, key string, defaults func() component.Config, count int) {
	t.Helper()
	examples := 0
	for _, block := range yamlBlock.FindAllStringSubmatch(readme(t), -1) {
		retrieved, err := confmap.NewRetrievedFromYAML([]byte(block[1]))
		require.NoError(t, err)
		conf, err := retrieved.AsConf()
		require.NoError(t, err)
		if !conf.IsSet(key) {
			continue // the builder's manifest
		}
		examples++
		section, err := conf.Sub(key)
		require.NoError(t, err)
		config := defaults()
		require.NoError(t, section.Unmarshal(config))
		assert.NoError(t, confmap.Validate(config))
	}
	assert.Equal(t, count, examples)
}

func readme(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile(file)
	require.NoError(t, err)
	return string(text)
}
