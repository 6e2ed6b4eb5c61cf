// Copyright The awsloki Authors
// SPDX-License-Identifier: Apache-2.0

package deploycheck

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/hashicorp/hcl/v2/hclwrite"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// smallModule has one of everything that Problems looks at.
const smallModule = `variable "names" {
  description = "Names."
  type        = set(string)
}

variable "queue" {
  description = "Whether there is a queue."
  type        = bool
  default     = true

  validation {
    condition     = var.queue || length(var.names) > 0
    error_message = "Give one."
  }
}

locals {
  first = [for name in var.names : name][0]
}

data "aws_region" "current" {}

resource "aws_cloudwatch_log_group" "each" {
  for_each = var.names

  name = "/${local.first}/${each.value}/${data.aws_region.current.id}"
}

resource "aws_sqs_queue" "one" {
  count = var.queue ? 1 : 0

  name       = "one"
  depends_on = [aws_cloudwatch_log_group.each]
}

resource "aws_lambda_function" "f" {
  function_name = "f"
  role          = "r"

  dynamic "vpc_config" {
    for_each = var.names
    content {
      subnet_ids         = [vpc_config.value]
      security_group_ids = aws_sqs_queue.one[*].arn
    }
  }

  lifecycle {
    precondition {
      condition     = var.queue
      error_message = "No."
    }
  }
}

output "url" {
  description = "URL of the queue."
  value       = aws_sqs_queue.one[0].url
}
`

func TestProblemsOfModule(t *testing.T) {
	t.Parallel()
	provider := readProvider(t)
	problems := func(t *testing.T, content string) []string {
		t.Helper()
		module, err := ReadModule(map[string][]byte{"main.tf": []byte(content)})
		require.NoError(t, err)
		return module.Problems(provider)
	}
	require.Empty(t, problems(t, smallModule))

	f := func(name, old, changed string, want ...string) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			require.Equal(t, 1, strings.Count(smallModule, old), "the module must hold what is changed, once")
			got := problems(t, string(hclwrite.Format([]byte(strings.Replace(smallModule, old, changed, 1)))))
			if assert.Len(t, got, len(want), "%q", got) {
				for i := range want {
					assert.Contains(t, got[i], want[i])
				}
			}
		})
	}
	f("wrong variable", "condition     = var.queue\n", "condition     = var.que\n", "main.tf:50: var.que is not there")
	f("wrong variable in a validation", "length(var.names)", "length(var.name)", "var.name is not there")
	f("wrong local", "${local.first}", "${local.last}", "local.last is not there", "local first is not used")
	f("wrong resource", "aws_sqs_queue.one[0].url", "aws_sqs_queue.two[0].url", "aws_sqs_queue.two is not there")
	f("wrong data source", "data.aws_region.current", "data.aws_region.now",
		"data.aws_region.now is not there", "data.aws_region.current is not used")
	f("wrong attribute", "one[0].url", "one[0].uri", "aws_sqs_queue.one has no uri")
	f("wrong attribute of all", "one[*].arn", "one[*].arm", "aws_sqs_queue.one has no arm")
	f("one of many without an index", "one[0].url", "one.url", "is one or many")
	f("index of one", "current.id", "current[0].id", "is one or many")
	f("wrong member of each", "${each.value}", "${each.val}", "each.val is not there")
	f("wrong member of an iterator", "[vpc_config.value]", "[vpc_config.val]", "vpc_config.val is not there")
	f("unknown name", "[vpc_config.value]", "[vpc.value]", "vpc.value is not there")
	f("bare word", "subnet_ids         = [vpc_config.value]", "subnet_ids = [names]", "names is not there")
	f("unused variable", `variable "names"`, `variable "more" {
  description = "More."
  type        = string
}

variable "names"`, "variable more is not used")
	f("variable without description", `  description = "Names."`+"\n", "", "variable names has no description")
	f("variable without type", "  type        = bool\n", "", "variable queue has no type")
	f("output without description", `  description = "URL of the queue."`+"\n", "", "output url has no description")
	f("unknown argument", `  name       = "one"`, `  nam = "one"`, "aws_sqs_queue.one: nam is no argument")
	f("computed argument", `  name       = "one"`, `  arn = "one"`, "aws_sqs_queue.one: arn is no argument")
	f("missing argument", `  role          = "r"`+"\n", "", "aws_lambda_function.f: needs role")
	f("missing argument of a block", "      subnet_ids         = [vpc_config.value]\n", "", "vpc_config: needs subnet_ids")
	f("unknown block", `dynamic "vpc_config"`, `dynamic "vpc"`, "has no block vpc", "vpc_config.value is not there")
	f("unknown type", `resource "aws_lambda_function" "f"`, `resource "aws_lambda" "f"`, "no schema of aws_lambda")
	f("the same twice", `resource "aws_lambda_function" "f"`, `data "aws_region" "current" {}

resource "aws_lambda_function" "f"`, "data.aws_region.current is there twice")
}

func TestUnformattedModule(t *testing.T) {
	t.Parallel()
	module, err := ReadModule(map[string][]byte{"main.tf": []byte("locals {\n a = 1\n}\noutput \"a\" {\n  " +
		"description = \"A.\"\n  value = local.a\n}\n")})
	require.NoError(t, err)
	assert.Equal(t, []string{"main.tf: is not as terraform fmt writes it"}, module.Problems(readProvider(t)))
}

func TestUnreadableModule(t *testing.T) {
	t.Parallel()
	_, err := ReadModule(map[string][]byte{"main.tf": []byte("locals {")})
	assert.ErrorContains(t, err, "main.tf:1")
}

// The files of `terraform test` are parsed and formatted, and name variables that there are.
func TestModuleTests(t *testing.T) {
	t.Parallel()
	paths, err := filepath.Glob(filepath.Join(deploy, "terraform", "tests", "*.tftest.hcl"))
	require.NoError(t, err)
	require.NotEmpty(t, paths)
	module := readModule(t)
	for _, path := range paths {
		content := readFile(t, path)
		assert.Equal(t, string(hclwrite.Format(content)), string(content), "as terraform fmt writes it")
		file, diagnostics := hclsyntax.ParseConfig(content, filepath.Base(path), hcl.InitialPos)
		require.False(t, diagnostics.HasErrors(), diagnostics)
		set := 0
		var walk func(body *hclsyntax.Body)
		walk = func(body *hclsyntax.Body) {
			for _, block := range body.Blocks {
				if block.Type == "variables" {
					for name := range block.Body.Attributes {
						set++
						assert.Contains(t, module.Variables, name)
					}
				}
				walk(block.Body)
			}
		}
		walk(file.Body.(*hclsyntax.Body))
		assert.Positive(t, set)
	}
}
