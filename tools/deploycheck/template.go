// Copyright The awsloki Authors
// SPDX-License-Identifier: Apache-2.0

package deploycheck

import (
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Template is a CloudFormation template with its short tags (!Ref) written out and its Fn::ForEach unrolled.
type Template struct {
	Parameters map[string]Parameter
	root       *value
}

// Parameter is a parameter as the template declares it.
type Parameter struct {
	Type           string   `yaml:"Type"`
	Default        *string  `yaml:"Default"`
	Description    string   `yaml:"Description"`
	AllowedValues  []string `yaml:"AllowedValues"`
	AllowedPattern string   `yaml:"AllowedPattern"`
	NoEcho         bool     `yaml:"NoEcho"`
}

// value is a node of the template. Exactly one of fields, items and scalar counts, as kind says.
type value struct {
	line   int
	kind   yaml.Kind
	tag    string
	keys   []string
	fields map[string]*value
	items  []*value
	scalar string
}

func (v *value) get(path ...string) *value {
	for _, key := range path {
		if v == nil {
			return nil
		}
		v = v.fields[key]
	}
	return v
}

// intrinsic gives the function's name and its argument where v is a call such as {Ref: X}.
func (v *value) intrinsic() (string, *value) {
	if v.kind != yaml.MappingNode || len(v.keys) != 1 {
		return "", nil
	}
	name := v.keys[0]
	if name == "Ref" || name == "Condition" || strings.HasPrefix(name, "Fn::") {
		return name, v.fields[name]
	}
	return "", nil
}

// text gives a scalar's text, and "" for all else.
func (v *value) text() string {
	if v == nil || v.kind != yaml.ScalarNode {
		return ""
	}
	return v.scalar
}

func (v *value) children() []*value {
	if v.kind == yaml.SequenceNode {
		return v.items
	}
	all := make([]*value, 0, len(v.keys))
	for _, key := range v.keys {
		all = append(all, v.fields[key])
	}
	return all
}

// ReadTemplate parses a template. What is wrong with it beyond YAML, Problems says.
func ReadTemplate(content []byte) (*Template, error) {
	var document yaml.Node
	if err := yaml.Unmarshal(content, &document); err != nil {
		return nil, err
	}
	if len(document.Content) != 1 || document.Content[0].Kind != yaml.MappingNode {
		return nil, errors.New("the template is no mapping")
	}
	root, err := convert(document.Content[0])
	if err != nil {
		return nil, err
	}
	var declared struct {
		Parameters map[string]Parameter `yaml:"Parameters"`
	}
	if err := document.Content[0].Decode(&declared); err != nil {
		return nil, err
	}
	return &Template{Parameters: declared.Parameters, root: root}, nil
}

func convert(node *yaml.Node) (*value, error) {
	v := &value{line: node.Line, kind: node.Kind, tag: node.ShortTag()}
	switch node.Kind {
	case yaml.MappingNode:
		v.fields = map[string]*value{}
		for i := 0; i < len(node.Content); i += 2 {
			key := node.Content[i].Value
			if v.fields[key] != nil {
				return nil, fmt.Errorf("line %d: key %s is there twice", node.Content[i].Line, key)
			}
			child, err := convert(node.Content[i+1])
			if err != nil {
				return nil, err
			}
			v.keys, v.fields[key] = append(v.keys, key), child
		}
	case yaml.SequenceNode:
		for _, item := range node.Content {
			child, err := convert(item)
			if err != nil {
				return nil, err
			}
			v.items = append(v.items, child)
		}
	case yaml.ScalarNode:
		v.scalar = node.Value
	default:
		return nil, fmt.Errorf("line %d: CloudFormation takes no YAML aliases", node.Line)
	}
	return writeOut(v), nil
}

// writeOut turns !GetAtt A.B into {Fn::GetAtt: [A, B]}, and likewise for the other short tags.
func writeOut(v *value) *value {
	if !strings.HasPrefix(v.tag, "!") || strings.HasPrefix(v.tag, "!!") {
		return v
	}
	name := v.tag[1:]
	argument := *v
	argument.tag = "!!str"
	switch {
	case name == "GetAtt" && v.kind == yaml.ScalarNode:
		resource, attribute, _ := strings.Cut(v.scalar, ".")
		argument = value{line: v.line, kind: yaml.SequenceNode, items: []*value{
			{line: v.line, kind: yaml.ScalarNode, tag: "!!str", scalar: resource},
			{line: v.line, kind: yaml.ScalarNode, tag: "!!str", scalar: attribute},
		}}
	case name != "Ref" && name != "Condition":
		name = "Fn::" + name
	}
	if name == "GetAtt" {
		name = "Fn::GetAtt"
	}
	return &value{
		line: v.line, kind: yaml.MappingNode, tag: "!!map",
		keys: []string{name}, fields: map[string]*value{name: &argument},
	}
}

// unroll writes Fn::ForEach out. A parameter's list stands for one element: what it holds is known at deployment only.
func unroll(v *value) (*value, error) {
	switch v.kind {
	case yaml.SequenceNode:
		out := *v
		out.items = nil
		for _, item := range v.items {
			child, err := unroll(item)
			if err != nil {
				return nil, err
			}
			out.items = append(out.items, child)
		}
		return &out, nil
	case yaml.MappingNode:
		out := *v
		out.keys, out.fields = nil, map[string]*value{}
		add := func(key string, child *value) error {
			if out.fields[key] != nil {
				return fmt.Errorf("line %d: key %s is there twice once Fn::ForEach is unrolled", child.line, key)
			}
			child, err := unroll(child)
			out.keys, out.fields[key] = append(out.keys, key), child
			return err
		}
		for _, key := range v.keys {
			if !strings.HasPrefix(key, "Fn::ForEach::") {
				if err := add(key, v.fields[key]); err != nil {
					return nil, err
				}
				continue
			}
			loop := v.fields[key]
			if len(loop.items) != 3 || loop.items[0].text() == "" || loop.items[2].kind != yaml.MappingNode {
				return nil, fmt.Errorf("line %d: %s takes an identifier, a collection and a mapping", loop.line, key)
			}
			for _, element := range collection(loop.items[1]) {
				body := substitute(loop.items[2], loop.items[0].text(), element)
				for _, name := range body.keys {
					if err := add(name, body.fields[name]); err != nil {
						return nil, err
					}
				}
			}
		}
		return &out, nil
	}
	return v, nil
}

func collection(v *value) []string {
	if v.kind != yaml.SequenceNode {
		return []string{"Element"}
	}
	all := make([]string, 0, len(v.items))
	for _, item := range v.items {
		all = append(all, item.text())
	}
	return all
}

func substitute(v *value, identifier, element string) *value {
	replace := strings.NewReplacer("${"+identifier+"}", element, "&{"+identifier+"}", element).Replace
	out := *v
	switch v.kind {
	case yaml.ScalarNode:
		out.scalar = replace(v.scalar)
	case yaml.SequenceNode:
		out.items = make([]*value, len(v.items))
		for i, item := range v.items {
			out.items[i] = substitute(item, identifier, element)
		}
	case yaml.MappingNode:
		if name, argument := v.intrinsic(); name == "Ref" && argument.text() == identifier {
			return &value{line: v.line, kind: yaml.ScalarNode, tag: "!!str", scalar: element}
		}
		out.keys, out.fields = nil, map[string]*value{}
		for _, key := range v.keys {
			out.keys = append(out.keys, replace(key))
			out.fields[replace(key)] = substitute(v.fields[key], identifier, element)
		}
	}
	return &out
}

// ResourceSchema is what the registry of CloudFormation says of a resource type.
type ResourceSchema struct {
	Schema
	Attributes  []string          `json:"attributes"`
	Definitions map[string]Schema `json:"definitions"`
}

// Schema is the part of JSON Schema that these types use.
type Schema struct {
	Ref                  string            `json:"$ref"`
	Type                 types             `json:"type"`
	Properties           map[string]Schema `json:"properties"`
	PatternProperties    map[string]Schema `json:"patternProperties"`
	AdditionalProperties *bool             `json:"additionalProperties"`
	Required             []string          `json:"required"`
	Items                *Schema           `json:"items"`
	Enum                 []any             `json:"enum"`
	Minimum              *float64          `json:"minimum"`
	Maximum              *float64          `json:"maximum"`
}

// types is a type's name or several of them.
type types []string

// UnmarshalJSON takes both forms.
func (t *types) UnmarshalJSON(content []byte) error {
	var one string
	if json.Unmarshal(content, &one) == nil {
		*t = types{one}
		return nil
	}
	return json.Unmarshal(content, (*[]string)(t))
}

// validate tells where v is not what the schema says. An intrinsic function may give anything.
func (r ResourceSchema) validate(v *value, s Schema, path string) (problems []string) {
	if s.Ref != "" {
		s = r.Definitions[strings.TrimPrefix(s.Ref, "#/definitions/")]
	}
	report := func(format string, args ...any) {
		problems = append(problems, fmt.Sprintf("line %d: %s: %s", v.line, path, fmt.Sprintf(format, args...)))
	}
	if name, argument := v.intrinsic(); name != "" {
		if name == "Fn::If" {
			for _, branch := range argument.items[min(1, len(argument.items)):] {
				problems = append(problems, r.validate(branch, s, path)...)
			}
		}
		return problems
	}
	if kind := s.Type; len(kind) > 0 && !slices.ContainsFunc(kind, v.is) {
		report("is no %s", strings.Join(kind, " or "))
		return problems
	}
	switch v.kind {
	case yaml.SequenceNode:
		for i, item := range v.items {
			if s.Items != nil {
				problems = append(problems, r.validate(item, *s.Items, fmt.Sprintf("%s[%d]", path, i))...)
			}
		}
	case yaml.MappingNode:
		for _, key := range v.keys {
			if property, ok := s.property(key); ok {
				problems = append(problems, r.validate(v.fields[key], property, path+"."+key)...)
			} else if s.AdditionalProperties != nil && !*s.AdditionalProperties {
				report("has no property %s", key)
			}
		}
		for _, key := range s.Required {
			if v.fields[key] == nil {
				report("needs %s", key)
			}
		}
	case yaml.ScalarNode:
		if len(s.Enum) > 0 && !slices.ContainsFunc(s.Enum, func(e any) bool { return fmt.Sprint(e) == v.scalar }) {
			report("%s is not one of %v", v.scalar, s.Enum)
		}
		var number float64
		if _, err := fmt.Sscan(v.scalar, &number); err == nil && v.tag == "!!int" {
			if (s.Minimum != nil && number < *s.Minimum) || (s.Maximum != nil && number > *s.Maximum) {
				report("%s is out of range", v.scalar)
			}
		}
	}
	return problems
}

func (s Schema) property(key string) (Schema, bool) {
	if property, ok := s.Properties[key]; ok {
		return property, true
	}
	for pattern, property := range s.PatternProperties {
		if regexp.MustCompile(pattern).MatchString(key) {
			return property, true
		}
	}
	return Schema{}, false
}

func (v *value) is(kind string) bool {
	switch kind {
	case "object":
		return v.kind == yaml.MappingNode
	case "array":
		return v.kind == yaml.SequenceNode
	case "string":
		return v.kind == yaml.ScalarNode
	case "boolean":
		return v.tag == "!!bool"
	default:
		return v.tag == "!!int" || v.tag == "!!float"
	}
}
