// Copyright The awsloki Authors
// SPDX-License-Identifier: Apache-2.0

package relabel

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strings"
)

// maxRules bounds the rules of one configuration.
const maxRules = 1000

// What a rule has that does not say.
const (
	defaultSeparator   = ";"
	defaultRegex       = "(.*)"
	defaultReplacement = "$1"
)

// settings is a rule as it is written.
type settings struct {
	SourceLabels []string `json:"source_labels"`
	Separator    string   `json:"separator"`
	Regex        string   `json:"regex"`
	Modulus      uint64   `json:"modulus"`
	TargetLabel  string   `json:"target_label"`
	Replacement  string   `json:"replacement"`
	Action       string   `json:"action"`
}

// Parse reads a JSON array of rules. Its error names all rules that are wrong, counted from 1.
func Parse(text string) ([]Rule, error) {
	var written []json.RawMessage
	if err := decode([]byte(text), &written); err != nil {
		return nil, fmt.Errorf("want a JSON array of Prometheus's relabel rules: %w", err)
	}
	if len(written) > maxRules {
		return nil, fmt.Errorf("%d rules, at most %d are taken", len(written), maxRules)
	}
	rules := make([]Rule, len(written))
	var errs []error
	for i := range written {
		var err error
		if rules[i], err = parseRule(written[i]); err != nil {
			errs = append(errs, fmt.Errorf("rule %d: %w", i+1, err))
		}
	}
	return rules, errors.Join(errs...)
}

// parseRule gives what the rule does not say its default. What it says counts, also if it is empty.
func parseRule(written []byte) (Rule, error) {
	s := settings{Separator: defaultSeparator, Regex: defaultRegex, Replacement: defaultReplacement, Action: string(Replace)}
	if err := decode(written, &s); err != nil {
		return Rule{}, err
	}
	// A match is of the whole value.
	regex, err := regexp.Compile("^(?s:" + s.Regex + ")$")
	if err != nil {
		return Rule{}, fmt.Errorf("regex: %w", err)
	}
	action := Action(strings.ToLower(s.Action))
	if err := s.check(action); err != nil {
		return Rule{}, err
	}
	return Rule{
		action:       action,
		sourceLabels: s.SourceLabels,
		separator:    s.Separator,
		regex:        regex,
		modulus:      s.Modulus,
		targetLabel:  s.TargetLabel,
		replacement:  s.Replacement,
	}, nil
}

// template matches what may be a name once its variables are filled in.
var template = regexp.MustCompile(`^(?:(?:[a-zA-Z_]|\$(?:\{\w+\}|\w+))+\w*)+$`)

// check refuses what Prometheus refuses.
func (s *settings) check(action Action) error {
	switch action {
	case Replace:
		if !template.MatchString(s.TargetLabel) {
			return fmt.Errorf("%s: target_label (%q) is no name of a label", action, s.TargetLabel)
		}
	case HashMod, Lowercase, Uppercase, KeepEqual, DropEqual:
		if !IsLabelName(s.TargetLabel) {
			return fmt.Errorf("%s: target_label (%q) is no name of a label", action, s.TargetLabel)
		}
	case LabelMap:
		if !template.MatchString(s.Replacement) {
			return fmt.Errorf("%s: replacement (%q) makes no name of a label", action, s.Replacement)
		}
	case Keep, Drop, LabelDrop, LabelKeep:
	default:
		return fmt.Errorf("action (%q) is none that there is", s.Action)
	}
	if action == HashMod && s.Modulus == 0 {
		return fmt.Errorf("%s: modulus must not be 0", action)
	}
	return s.checkOthers(action)
}

// checkOthers refuses settings that have no meaning for the action.
func (s *settings) checkOthers(action Action) error {
	var allowed settings
	switch action {
	case Lowercase, Uppercase:
		allowed = *s
	case KeepEqual, DropEqual:
		allowed = settings{SourceLabels: s.SourceLabels, TargetLabel: s.TargetLabel, Regex: defaultRegex, Separator: defaultSeparator}
	case LabelDrop, LabelKeep:
		allowed = settings{Regex: s.Regex, Separator: defaultSeparator}
	default:
		return nil
	}
	if s.Replacement != defaultReplacement || s.Regex != allowed.Regex || s.Separator != allowed.Separator ||
		s.Modulus != allowed.Modulus || s.TargetLabel != allowed.TargetLabel || len(s.SourceLabels) != len(allowed.SourceLabels) {
		return fmt.Errorf("%s: there is a setting that it does not have", action)
	}
	return nil
}

// decode decodes one document without keys that are not known.
func decode(data []byte, into any) error {
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(into); err != nil {
		return err
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return errors.New("there is more behind it")
	}
	return nil
}
