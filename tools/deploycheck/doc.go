// Copyright The awsloki Authors
// SPDX-License-Identifier: Apache-2.0

// Package deploycheck checks the CloudFormation template and the Terraform module in deploy/ without either tool:
// references, what is not used, and the properties and arguments of every resource.
//
// What the resources may hold is in testdata, for the types that deploy/ uses:
//
//   - cloudformation-schema.json is taken from the schemas of the CloudFormation registry (as cfn-lint 1.51.0 has
//     them), less descriptions and the properties of other services. AWS::Serverless::Function is AWS::Lambda::Function
//     with CodeUri in place of Code.
//   - aws-provider-schema.json is taken from `terraform providers schema -json` with version 5.100.0 of the provider.
//
// A type or a property that is missing there is reported: add it from the same source.
package deploycheck
