// End-to-end tests and the demo: real Loki, the built binaries, a Lambda Runtime API.
module github.com/awsloki/awsloki/e2e

go 1.26.0

require go.yaml.in/yaml/v3 v3.0.5

require github.com/stretchr/testify v1.12.1
