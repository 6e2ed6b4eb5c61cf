// Copyright The awsloki Authors
// SPDX-License-Identifier: Apache-2.0

package deploycheck

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

var pseudoParameters = []string{
	"AWS::AccountId", "AWS::NoValue", "AWS::NotificationARNs", "AWS::Partition", "AWS::Region",
	"AWS::StackId", "AWS::StackName", "AWS::URLSuffix",
}

var sections = []string{
	"AWSTemplateFormatVersion", "Conditions", "Description", "Mappings", "Metadata", "Outputs",
	"Parameters", "Resources", "Rules", "Transform",
}

// templateCheck follows a template's references.
type templateCheck struct {
	template *Template
	problems []string
	used     map[string]bool            // "parameter X", "condition X", "mapping X"
	edges    map[string]map[string]bool // resource -> the resources it needs
	current  string                     // the resource at hand
	truths   map[string]bool            // the conditions that hold where the walk is
	types    map[string]ResourceSchema
}

func (c *templateCheck) report(line int, format string, args ...any) {
	c.problems = append(c.problems, fmt.Sprintf("line %d: %s", line, fmt.Sprintf(format, args...)))
}

// Problems tells what is wrong with the template: references to what is not there, what nothing refers to,
// dependencies in a circle, and resources that are not as their types say.
func (t *Template) Problems(types map[string]ResourceSchema) []string {
	c := templateCheck{template: t, used: map[string]bool{}, edges: map[string]map[string]bool{}, types: types}
	c.transforms()
	c.parameters()
	c.collections(t.root)
	unrolled, err := unroll(t.root)
	if err != nil {
		return append(c.problems, err.Error())
	}
	c.template = &Template{Parameters: t.Parameters, root: unrolled}
	for _, section := range unrolled.keys {
		if !slices.Contains(sections, section) {
			c.report(unrolled.fields[section].line, "%s is no section of a template", section)
		}
	}
	c.resources()
	for _, section := range []string{"Outputs", "Conditions", "Rules"} {
		c.section(section)
	}
	c.labels()
	c.unused()
	c.circles()
	return c.problems
}

func (c *templateCheck) transforms() {
	var transforms []string
	if v := c.template.root.get("Transform"); v != nil {
		for _, item := range v.items {
			transforms = append(transforms, item.text())
		}
	}
	if !slices.Equal(transforms, []string{"AWS::LanguageExtensions", "AWS::Serverless-2016-10-31"}) {
		c.report(1, "Transform is not AWS::LanguageExtensions, then AWS::Serverless-2016-10-31")
	}
}

func (c *templateCheck) parameters() {
	for _, name := range slices.Sorted(maps.Keys(c.template.Parameters)) {
		p := c.template.Parameters[name]
		line := c.template.root.get("Parameters", name).line
		if !slices.Contains([]string{"String", "Number", "CommaDelimitedList"}, p.Type) {
			c.report(line, "parameter %s: type %q", name, p.Type)
		}
		if p.Description == "" {
			c.report(line, "parameter %s has no description", name)
		}
		if p.Default == nil {
			continue
		}
		if len(p.AllowedValues) > 0 && !slices.Contains(p.AllowedValues, *p.Default) {
			c.report(line, "parameter %s: the default %q is not allowed", name, *p.Default)
		}
		if p.AllowedPattern == "" {
			continue
		}
		pattern, err := regexp.Compile("^(?:" + p.AllowedPattern + ")$")
		if err != nil {
			c.report(line, "parameter %s: %v", name, err)
		} else if !pattern.MatchString(*p.Default) {
			c.report(line, "parameter %s: the default %q does not match its pattern", name, *p.Default)
		}
	}
}

// collections follows the references of Fn::ForEach's lists, which are gone once it is unrolled.
func (c *templateCheck) collections(v *value) {
	for _, key := range v.keys {
		if loop := v.fields[key]; strings.HasPrefix(key, "Fn::ForEach::") && len(loop.items) == 3 {
			c.walk(loop.items[1], false)
		}
	}
	for _, child := range v.children() {
		c.collections(child)
	}
}

func (c *templateCheck) resources() {
	resources := c.template.root.get("Resources")
	if resources == nil {
		c.report(1, "there are no resources")
		return
	}
	for _, name := range resources.keys {
		resource := resources.fields[name]
		c.current, c.edges[name] = name, map[string]bool{}
		c.truths = c.implied(resource.get("Condition").text())
		for _, key := range resource.keys {
			switch body := resource.fields[key]; key {
			case "Type", "DeletionPolicy", "UpdateReplacePolicy", "Metadata":
			case "Condition":
				c.condition(body)
			case "DependsOn":
				// CloudFormation does without a dependency that is not created.
				for _, item := range append(body.items, body) {
					if item.kind == yaml.ScalarNode {
						c.there(item.line, item.scalar)
					}
				}
			case "Properties":
				c.walk(body, true)
			default:
				c.report(body.line, "resource %s has no %s", name, key)
			}
		}
		schema, ok := c.types[resource.get("Type").text()]
		if !ok {
			c.report(resource.line, "resource %s: no schema of the type %q", name, resource.get("Type").text())
			continue
		}
		properties := resource.get("Properties")
		if properties == nil {
			properties = &value{line: resource.line, kind: yaml.MappingNode}
		}
		c.problems = append(c.problems, schema.validate(properties, schema.Schema, name)...)
	}
	c.current, c.truths = "", nil
}

func (c *templateCheck) section(name string) {
	section := c.template.root.get(name)
	if section == nil {
		return
	}
	for _, key := range section.keys {
		entry := section.fields[key]
		if name != "Outputs" {
			c.walk(entry, false)
			continue
		}
		if entry.get("Description").text() == "" {
			c.report(entry.line, "output %s has no description", key)
		}
		if entry.get("Value") == nil {
			c.report(entry.line, "output %s has no value", key)
			continue
		}
		c.truths = c.implied(entry.get("Condition").text())
		c.walk(entry.get("Value"), true)
		if condition := entry.get("Condition"); condition != nil {
			c.condition(condition)
		}
	}
}

// labels checks that the console shows every parameter, in one group.
func (c *templateCheck) labels() {
	groups := c.template.root.get("Metadata", "AWS::CloudFormation::Interface", "ParameterGroups")
	if groups == nil {
		return
	}
	shown := map[string]bool{}
	for _, group := range groups.items {
		for _, item := range group.get("Parameters").items {
			if _, ok := c.template.Parameters[item.scalar]; !ok || shown[item.scalar] {
				c.report(item.line, "group of parameters: %s is no parameter, or in two groups", item.scalar)
			}
			shown[item.scalar] = true
		}
	}
	for _, name := range slices.Sorted(maps.Keys(c.template.Parameters)) {
		if !shown[name] {
			c.report(groups.line, "parameter %s is in no group", name)
		}
	}
}

// walk follows every reference under v. Only where resources is true may it be to a resource.
func (c *templateCheck) walk(v *value, resources bool) {
	name, argument := v.intrinsic()
	switch name {
	case "Ref":
		c.ref(argument.line, argument.text(), resources)
	case "Condition":
		if argument.kind == yaml.ScalarNode {
			c.condition(argument)
			return
		}
	case "Fn::GetAtt":
		if len(argument.items) != 2 {
			c.report(argument.line, "Fn::GetAtt takes a resource and an attribute")
			return
		}
		c.attribute(argument.line, argument.items[0].text(), argument.items[1].text(), resources)
	case "Fn::If":
		if len(argument.items) != 3 {
			c.report(argument.line, "Fn::If takes a condition and two values")
			return
		}
		c.condition(argument.items[0])
		before := c.truths
		c.truths = c.implied(argument.items[0].text())
		maps.Copy(c.truths, before)
		c.walk(argument.items[1], resources)
		c.truths = before
		c.walk(argument.items[2], resources)
		return
	case "Fn::FindInMap":
		c.mapping(argument)
	case "Fn::Sub":
		c.sub(argument, resources)
	}
	for _, child := range v.children() {
		c.walk(child, resources)
	}
}

func (c *templateCheck) ref(line int, name string, resources bool) {
	if _, ok := c.template.Parameters[name]; ok {
		c.used["parameter "+name] = true
		return
	}
	if slices.Contains(pseudoParameters, name) {
		return
	}
	if !resources {
		c.report(line, "%q is no parameter", name)
		return
	}
	c.needs(line, name)
}

// implied gives the conditions that hold where the named one does: itself, and what it is the conjunction of.
func (c *templateCheck) implied(name string) map[string]bool {
	all := map[string]bool{}
	condition := c.template.root.get("Conditions", name)
	if condition == nil {
		return all
	}
	all[name] = true
	if function, argument := condition.intrinsic(); function == "Fn::And" {
		for _, part := range argument.items {
			if function, named := part.intrinsic(); function == "Condition" {
				maps.Copy(all, c.implied(named.text()))
			}
		}
	}
	return all
}

// needs is for a reference, which fails where its resource is not created.
func (c *templateCheck) needs(line int, resource string) {
	if !c.there(line, resource) {
		return
	}
	condition := c.template.root.get("Resources", resource, "Condition").text()
	if condition != "" && !c.truths[condition] {
		c.report(line, "%q is there only where %s holds", resource, condition)
	}
}

func (c *templateCheck) there(line int, resource string) bool {
	if c.template.root.get("Resources", resource) == nil {
		c.report(line, "%q is no parameter and no resource", resource)
		return false
	}
	if c.current != "" {
		c.edges[c.current][resource] = true
	}
	return true
}

func (c *templateCheck) attribute(line int, resource, attribute string, resources bool) {
	if !resources {
		c.report(line, "%s.%s: no resource can be asked here", resource, attribute)
		return
	}
	c.needs(line, resource)
	if schema, ok := c.types[c.template.root.get("Resources", resource, "Type").text()]; ok {
		if !slices.Contains(schema.Attributes, attribute) {
			c.report(line, "%s has no attribute %q", resource, attribute)
		}
	}
}

func (c *templateCheck) condition(v *value) {
	if c.template.root.get("Conditions", v.text()) == nil {
		c.report(v.line, "%q is no condition", v.text())
	}
	c.used["condition "+v.text()] = true
}

func (c *templateCheck) mapping(v *value) {
	if len(v.items) != 3 {
		c.report(v.line, "Fn::FindInMap takes a mapping and two keys")
		return
	}
	at := c.template.root.get("Mappings", v.items[0].text())
	if at == nil {
		c.report(v.line, "%q is no mapping", v.items[0].text())
		return
	}
	c.used["mapping "+v.items[0].text()] = true
	// A key that a parameter chooses must be there for each of its values.
	keys := []string{v.items[1].text()}
	if name, argument := v.items[1].intrinsic(); name == "Ref" {
		keys = c.template.Parameters[argument.text()].AllowedValues
	}
	for _, key := range keys {
		if at.get(key, v.items[2].text()) == nil {
			c.report(v.line, "mapping %s has no %s.%s", v.items[0].text(), key, v.items[2].text())
		}
	}
}

var substitution = regexp.MustCompile(`\$\{([^!}][^}]*)\}`)

func (c *templateCheck) sub(v *value, resources bool) {
	text, variables := v, &value{}
	if v.kind == yaml.SequenceNode && len(v.items) == 2 {
		text, variables = v.items[0], v.items[1]
	}
	filled := map[string]bool{}
	for _, match := range substitution.FindAllStringSubmatch(text.text(), -1) {
		name := match[1]
		if variables.fields[name] != nil {
			filled[name] = true
			continue
		}
		if resource, attribute, ok := strings.Cut(name, "."); ok {
			c.attribute(text.line, resource, attribute, resources)
		} else {
			c.ref(text.line, name, resources)
		}
	}
	for _, name := range variables.keys {
		if !filled[name] {
			c.report(variables.line, "Fn::Sub does not use its %s", name)
		}
	}
}

func (c *templateCheck) unused() {
	for section, kind := range map[string]string{
		"Parameters": "parameter", "Conditions": "condition", "Mappings": "mapping",
	} {
		entries := c.template.root.get(section)
		if entries == nil {
			continue
		}
		for _, name := range entries.keys {
			if !c.used[kind+" "+name] {
				c.report(entries.fields[name].line, "%s %s is not used", kind, name)
			}
		}
	}
}

func (c *templateCheck) circles() {
	done, open := map[string]bool{}, map[string]bool{}
	var visit func(name string)
	visit = func(name string) {
		if open[name] {
			c.report(c.template.root.get("Resources", name).line, "resource %s depends on itself", name)
			return
		}
		if done[name] {
			return
		}
		open[name] = true
		for _, next := range slices.Sorted(maps.Keys(c.edges[name])) {
			visit(next)
		}
		done[name], open[name] = true, false
	}
	for _, name := range slices.Sorted(maps.Keys(c.edges)) {
		visit(name)
	}
}
