// Copyright The awsloki Authors
// SPDX-License-Identifier: Apache-2.0

// Package secrets reads what is kept in AWS Secrets Manager and in the Parameter Store of SSM.
package secrets

import (
	"context"
	"fmt"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/arn"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/ssm"

	"github.com/awsloki/awsloki/lambdaforwarder/internal/credentials"
)

// NewReader returns a function that reads secrets, each in the region of its ARN. load gives the configuration of the
// clients.
func NewReader(load func() (aws.Config, error)) credentials.Read {
	return func(ctx context.Context, from arn.ARN) (string, error) {
		cfg, err := load()
		if err != nil {
			return "", err
		}
		cfg.Region = from.Region
		if from.Service == credentials.SSM {
			return readParameter(ctx, cfg, from)
		}
		return readSecret(ctx, cfg, from)
	}
}

// readSecret returns the whole of a secret.
// https://docs.aws.amazon.com/secretsmanager/latest/apireference/API_GetSecretValue.html
func readSecret(ctx context.Context, cfg aws.Config, from arn.ARN) (string, error) {
	secret, err := secretsmanager.NewFromConfig(cfg).GetSecretValue(ctx, &secretsmanager.GetSecretValueInput{
		SecretId: aws.String(from.String()),
	})
	if err != nil {
		return "", fmt.Errorf("get the secret %s: %w", from, err)
	}
	if secret.SecretString == nil {
		return string(secret.SecretBinary), nil
	}
	return *secret.SecretString, nil
}

// readParameter returns the value of a parameter, decrypted.
// https://docs.aws.amazon.com/systems-manager/latest/APIReference/API_GetParameter.html
func readParameter(ctx context.Context, cfg aws.Config, from arn.ARN) (string, error) {
	// The resource is "parameter/name", and names that are paths begin with a slash, which ARNs do not repeat. By the ARN
	// itself the API takes also what other accounts share.
	if !strings.HasPrefix(from.Resource, "parameter/") {
		return "", fmt.Errorf("%s is not the ARN of a parameter", from)
	}
	got, err := ssm.NewFromConfig(cfg).GetParameter(ctx, &ssm.GetParameterInput{
		Name:           aws.String(from.String()),
		WithDecryption: aws.Bool(true),
	})
	if err != nil {
		return "", fmt.Errorf("get the parameter %s: %w", from, err)
	}
	if got.Parameter == nil || got.Parameter.Value == nil {
		return "", nil
	}
	return *got.Parameter.Value, nil
}
