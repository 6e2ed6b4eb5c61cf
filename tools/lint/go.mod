module github.com/awsloki/awsloki/tools/lint

go 1.26.0

tool github.com/golangci/golangci-lint/v2/cmd/golangci-lint

require github.com/golangci/golangci-lint/v2 v2.14.0
