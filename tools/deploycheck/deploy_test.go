// Copyright The awsloki Authors
// SPDX-License-Identifier: Apache-2.0

package deploycheck

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const deploy = "../../deploy"

func readFile(t *testing.T, path ...string) []byte {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(path...))
	require.NoError(t, err)
	return content
}

func readTypes(t *testing.T) map[string]ResourceSchema {
	t.Helper()
	var types map[string]ResourceSchema
	require.NoError(t, json.Unmarshal(readFile(t, "testdata", "cloudformation-schema.json"), &types))
	return types
}

func readProvider(t *testing.T) ProviderSchema {
	t.Helper()
	var provider ProviderSchema
	require.NoError(t, json.Unmarshal(readFile(t, "testdata", "aws-provider-schema.json"), &provider))
	return provider
}

func readTemplate(t *testing.T) *Template {
	t.Helper()
	template, err := ReadTemplate(readFile(t, deploy, "cloudformation", "template.yaml"))
	require.NoError(t, err)
	return template
}

func readModule(t *testing.T) *Module {
	t.Helper()
	module, err := ReadModule(readModuleFiles(t))
	require.NoError(t, err)
	return module
}

func readModuleFiles(t *testing.T) map[string][]byte {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(deploy, "terraform", "*.tf"))
	require.NoError(t, err)
	require.NotEmpty(t, paths)
	files := map[string][]byte{}
	for _, path := range paths {
		files[filepath.Base(path)] = readFile(t, path)
	}
	return files
}

func TestTemplate(t *testing.T) {
	t.Parallel()
	assert.Empty(t, readTemplate(t).Problems(readTypes(t)))
}

func TestModule(t *testing.T) {
	t.Parallel()
	assert.Empty(t, readModule(t).Problems(readProvider(t)))
}

// Neither works in one partition only.
func TestPartitions(t *testing.T) {
	t.Parallel()
	files := readModuleFiles(t)
	files["template.yaml"] = readFile(t, deploy, "cloudformation", "template.yaml")
	for name, content := range files {
		assert.NotContains(t, string(content), "arn:aws:", name)
	}
}

func TestSecretsAreHidden(t *testing.T) {
	t.Parallel()
	template, module := readTemplate(t), readModule(t)
	for parameter, variable := range map[string]string{
		"Password": "password", "BearerToken": "bearer_token", "TlsKey": "tls_key", "Headers": "headers",
	} {
		assert.True(t, template.Parameters[parameter].NoEcho, parameter)
		assert.True(t, module.Variables[variable].Sensitive, variable)
	}
}

// row matches a row of the README's tables: the parameter, the variable, the default. One of the first two may be a dash.
var row = regexp.MustCompile("(?m)^\\| (?:`([A-Za-z]+)`|-) \\| (?:`([a-z0-9_]+)`|-) \\| ([^|]*) \\| ")

// The README lists each parameter and each variable once, side by side, with the default that they have.
func TestREADME(t *testing.T) {
	t.Parallel()
	template, module := readTemplate(t), readModule(t)
	var parameters, variables []string
	for _, match := range row.FindAllStringSubmatch(string(readFile(t, deploy, "README.md")), -1) {
		if name := match[1]; name != "" {
			parameters = append(parameters, name)
			assert.Equal(t, match[3], parameterDefault(template.Parameters[name]), name)
		}
		if name := match[2]; name != "" {
			variables = append(variables, name)
			assert.Equal(t, match[3], variableDefault(module.Variables[name]), name)
		}
		if match[1] != "" && match[2] != "" {
			assert.Equal(t, match[2], snakeCase(match[1]))
		}
	}
	assert.ElementsMatch(t, keys(template.Parameters), parameters)
	assert.ElementsMatch(t, keys(module.Variables), variables)
}

func keys[V any](m map[string]V) (all []string) {
	for key := range m {
		all = append(all, key)
	}
	return all
}

func parameterDefault(p Parameter) string {
	switch {
	case p.Default == nil:
		return "required"
	case *p.Default == "":
		return "none"
	}
	return "`" + *p.Default + "`"
}

func variableDefault(v Variable) string {
	switch v.Default {
	case "":
		return "required"
	case `""`, "[]", "{}", "null":
		return "none"
	}
	return "`" + strings.Trim(v.Default, `"`) + "`"
}

var capital = regexp.MustCompile("[A-Z]")

func snakeCase(name string) string {
	return strings.TrimPrefix(strings.ToLower(capital.ReplaceAllString(name, "_$0")), "_")
}

// Both have the same outputs.
func TestOutputs(t *testing.T) {
	t.Parallel()
	var outputs []string
	for _, name := range readTemplate(t).root.get("Outputs").keys {
		outputs = append(outputs, snakeCase(name))
	}
	assert.ElementsMatch(t, keys(readModule(t).Outputs), outputs)
}
