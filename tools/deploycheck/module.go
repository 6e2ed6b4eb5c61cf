// Copyright The awsloki Authors
// SPDX-License-Identifier: Apache-2.0

package deploycheck

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/hashicorp/hcl/v2/hclwrite"
	"github.com/zclconf/go-cty/cty"
)

// ProviderSchema is what a Terraform provider says of its types.
type ProviderSchema struct {
	Resources map[string]Block `json:"resources"`
	Data      map[string]Block `json:"data"`
}

// Block holds a block's arguments (each required, optional, computed or deprecated) and its nested blocks.
type Block struct {
	Arguments map[string]string
	Blocks    map[string]Block
}

// UnmarshalJSON tells arguments from blocks by their JSON type.
func (b *Block) UnmarshalJSON(content []byte) error {
	var members map[string]json.RawMessage
	if err := json.Unmarshal(content, &members); err != nil {
		return err
	}
	b.Arguments, b.Blocks = map[string]string{}, map[string]Block{}
	for name, member := range members {
		var argument string
		if json.Unmarshal(member, &argument) == nil {
			b.Arguments[name] = argument
			continue
		}
		var nested Block
		if err := json.Unmarshal(member, &nested); err != nil {
			return err
		}
		b.Blocks[name] = nested
	}
	return nil
}

func (b Block) has(name string) bool {
	_, nested := b.Blocks[name]
	return nested || b.Arguments[name] != ""
}

// Variable is a variable as the module declares it.
type Variable struct {
	Description string
	// Default is the default as it is written, "" for none.
	Default   string
	Sensitive bool
}

// Module is a Terraform module.
type Module struct {
	Variables map[string]Variable
	Outputs   map[string]bool

	files     map[string][]byte
	bodies    map[string]*hclsyntax.Body
	locals    map[string]bool
	resources map[string]*hclsyntax.Block // "aws_x.name" or "data.aws_x.name"
	used      map[string]bool
	problems  []string
}

// ReadModule parses the module's files, by name.
func ReadModule(files map[string][]byte) (*Module, error) {
	m := &Module{
		Variables: map[string]Variable{}, Outputs: map[string]bool{}, files: files, bodies: map[string]*hclsyntax.Body{},
		locals: map[string]bool{}, resources: map[string]*hclsyntax.Block{}, used: map[string]bool{},
	}
	for _, name := range slices.Sorted(maps.Keys(files)) {
		file, diagnostics := hclsyntax.ParseConfig(files[name], name, hcl.InitialPos)
		if diagnostics.HasErrors() {
			return nil, diagnostics
		}
		body, ok := file.Body.(*hclsyntax.Body)
		if !ok {
			return nil, errors.New("the HCL parser gave no native body")
		}
		m.bodies[name] = body
		for _, block := range body.Blocks {
			m.declare(block)
		}
	}
	return m, nil
}

func (m *Module) report(at hcl.Range, format string, args ...any) {
	m.problems = append(m.problems, fmt.Sprintf("%s:%d: %s", at.Filename, at.Start.Line, fmt.Sprintf(format, args...)))
}

func (m *Module) source(r hcl.Range) string {
	return string(r.SliceBytes(m.files[r.Filename]))
}

func (m *Module) declare(block *hclsyntax.Block) {
	at := block.DefRange()
	label := strings.Join(block.Labels, ".")
	switch block.Type {
	case "variable":
		if _, twice := m.Variables[label]; twice {
			m.report(at, "variable %s is there twice", label)
		}
		variable := Variable{Description: m.literal(block.Body.Attributes["description"])}
		if attribute := block.Body.Attributes["default"]; attribute != nil {
			variable.Default = m.source(attribute.Expr.Range())
		}
		if attribute := block.Body.Attributes["sensitive"]; attribute != nil {
			variable.Sensitive = m.source(attribute.Expr.Range()) == "true"
		}
		if variable.Description == "" {
			m.report(at, "variable %s has no description", label)
		}
		if block.Body.Attributes["type"] == nil {
			m.report(at, "variable %s has no type", label)
		}
		m.Variables[label] = variable
	case "output":
		if m.Outputs[label] {
			m.report(at, "output %s is there twice", label)
		}
		m.Outputs[label] = true
		if m.literal(block.Body.Attributes["description"]) == "" {
			m.report(at, "output %s has no description", label)
		}
		if block.Body.Attributes["value"] == nil {
			m.report(at, "output %s has no value", label)
		}
	case "locals":
		for name, attribute := range block.Body.Attributes {
			if m.locals[name] {
				m.report(attribute.NameRange, "local %s is there twice", name)
			}
			m.locals[name] = true
		}
	case "resource", "data":
		if block.Type == "data" {
			label = "data." + label
		}
		if m.resources[label] != nil || len(block.Labels) != 2 {
			m.report(at, "%s is there twice, or takes a type and a name", label)
		}
		m.resources[label] = block
	case "terraform":
	default:
		m.report(at, "a module of this kind has no %s", block.Type)
	}
}

func (m *Module) literal(attribute *hclsyntax.Attribute) string {
	if attribute == nil {
		return ""
	}
	if value, diagnostics := attribute.Expr.Value(nil); !diagnostics.HasErrors() && value.Type() == cty.String {
		return value.AsString()
	}
	return ""
}

// Problems tells what is wrong with the module: formatting, references to what is not there, what nothing refers to,
// and resources that are not as their types say.
func (m *Module) Problems(provider ProviderSchema) []string {
	for _, name := range slices.Sorted(maps.Keys(m.bodies)) {
		if !bytes.Equal(hclwrite.Format(m.files[name]), m.files[name]) {
			m.problems = append(m.problems, name+": is not as terraform fmt writes it")
		}
		for _, block := range m.bodies[name].Blocks {
			switch block.Type {
			case "resource", "data":
				m.resource(block, provider)
			case "variable":
				// A type is a keyword and no reference.
				for _, nested := range block.Body.Blocks {
					m.references(nested.Body, nil, provider)
				}
			case "terraform":
			default:
				m.references(block.Body, nil, provider)
			}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(m.Variables)) {
		if !m.used["var."+name] {
			m.problems = append(m.problems, fmt.Sprintf("variable %s is not used", name))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(m.locals)) {
		if !m.used["local."+name] {
			m.problems = append(m.problems, fmt.Sprintf("local %s is not used", name))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(m.resources)) {
		if strings.HasPrefix(name, "data.") && !m.used[name] {
			m.problems = append(m.problems, name+" is not used")
		}
	}
	return m.problems
}

var metaArguments = []string{"count", "for_each", "depends_on", "provider"}

func (m *Module) resource(block *hclsyntax.Block, provider ProviderSchema) {
	known := provider.Resources
	if block.Type == "data" {
		known = provider.Data
	}
	schema, ok := known[block.Labels[0]]
	if !ok {
		m.report(block.DefRange(), "no schema of %s", block.Labels[0])
		return
	}
	m.arguments(block.Body, schema, strings.Join(block.Labels, "."), true)
	m.references(block.Body, nil, provider)
}

func (m *Module) arguments(body *hclsyntax.Body, schema Block, path string, top bool) {
	given := map[string]bool{}
	for _, name := range slices.Sorted(maps.Keys(body.Attributes)) {
		given[name] = true
		kind := schema.Arguments[name]
		if kind == "required" || kind == "optional" || (top && slices.Contains(metaArguments, name)) {
			continue
		}
		m.report(body.Attributes[name].NameRange, "%s: %s is no argument, or not to be set", path, name)
	}
	for _, nested := range body.Blocks {
		name, content := nested.Type, nested.Body
		if top && name == "lifecycle" {
			continue
		}
		if name == "dynamic" && len(nested.Labels) == 1 {
			name = nested.Labels[0]
			if len(content.Blocks) != 1 || content.Blocks[0].Type != "content" {
				m.report(nested.DefRange(), "%s: dynamic %s takes one content", path, name)
				continue
			}
			content = content.Blocks[0].Body
		}
		inner, ok := schema.Blocks[name]
		if !ok {
			m.report(nested.DefRange(), "%s: has no block %s", path, name)
			continue
		}
		given[name] = true
		m.arguments(content, inner, path+"."+name, false)
	}
	for _, name := range slices.Sorted(maps.Keys(schema.Arguments)) {
		if name != "" && schema.Arguments[name] == "required" && !given[name] {
			m.report(body.Range(), "%s: needs %s", path, name)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(schema.Blocks)) {
		// An argument without a name stands for the block itself.
		if schema.Blocks[name].Arguments[""] == "required" && !given[name] {
			m.report(body.Range(), "%s: needs a block %s", path, name)
		}
	}
}

// references follows every reference of a body. Iterators are the names of the dynamic blocks around it.
func (m *Module) references(body *hclsyntax.Body, iterators []string, provider ProviderSchema) {
	for _, name := range slices.Sorted(maps.Keys(body.Attributes)) {
		expression := body.Attributes[name].Expr
		for _, traversal := range expression.Variables() {
			m.traversal(traversal, nil, iterators, provider)
		}
		m.splats(expression, iterators, provider)
	}
	for _, nested := range body.Blocks {
		inner := iterators
		if nested.Type == "dynamic" && len(nested.Labels) == 1 {
			inner = append(slices.Clone(iterators), nested.Labels[0])
		}
		m.references(nested.Body, inner, provider)
	}
}

// splats follows what is asked of each instance, as in aws_sqs_queue.objects[*].arn.
func (m *Module) splats(expression hclsyntax.Expression, iterators []string, provider ProviderSchema) {
	_ = hclsyntax.VisitAll(expression, func(node hclsyntax.Node) hcl.Diagnostics {
		splat, ok := node.(*hclsyntax.SplatExpr)
		if !ok {
			return nil
		}
		source, isTraversal := splat.Source.(*hclsyntax.ScopeTraversalExpr)
		each, isRelative := splat.Each.(*hclsyntax.RelativeTraversalExpr)
		if isTraversal && isRelative {
			m.traversal(source.Traversal, each.Traversal, iterators, provider)
		}
		return nil
	})
}

// traversal checks one reference; each is what a splat asks of every instance, nil where there is none.
func (m *Module) traversal(t, each hcl.Traversal, iterators []string, provider ProviderSchema) {
	at := t.SourceRange()
	steps := make([]string, 0, len(t)) // "" for an index
	for _, step := range t {
		switch step := step.(type) {
		case hcl.TraverseRoot:
			steps = append(steps, step.Name)
		case hcl.TraverseAttr:
			steps = append(steps, step.Name)
		default:
			steps = append(steps, "")
		}
	}
	second := ""
	if len(steps) > 1 {
		second = steps[1]
	}
	switch root := steps[0]; {
	case root == "var":
		_, there := m.Variables[second]
		m.use(at, "var."+second, there)
	case root == "local":
		m.use(at, "local."+second, m.locals[second])
	case root == "path":
	case root == "count":
		m.member(at, second, "index")
	case root == "each" || slices.Contains(iterators, root):
		m.member(at, second, "key", "value")
	case root == "data" && len(steps) > 2:
		m.instance(at, "data."+second+"."+steps[2], steps[3:], each, provider.Data[second])
	case len(steps) > 1:
		m.instance(at, root+"."+second, steps[2:], each, provider.Resources[root])
	default:
		m.report(at, "%s is not there", m.source(at))
	}
}

func (m *Module) member(at hcl.Range, name string, members ...string) {
	if !slices.Contains(members, name) {
		m.report(at, "%s is not there", m.source(at))
	}
}

func (m *Module) use(at hcl.Range, name string, there bool) {
	m.used[name] = true
	if !there {
		m.report(at, "%s is not there", name)
	}
}

func (m *Module) instance(at hcl.Range, name string, rest []string, each hcl.Traversal, schema Block) {
	block := m.resources[name]
	m.use(at, name, block != nil)
	if block == nil {
		return
	}
	many := block.Body.Attributes["count"] != nil || block.Body.Attributes["for_each"] != nil
	if each == nil && len(rest) > 0 && many != (rest[0] == "") {
		m.report(at, "%s: %s is one or many, and is asked as the other", m.source(at), name)
	}
	for i, step := range rest {
		if step == "" {
			continue
		}
		if i < 2 && !schema.has(step) {
			m.report(at, "%s has no %s", name, step)
		}
		break
	}
	if len(each) > 0 {
		if attribute, ok := each[0].(hcl.TraverseAttr); ok && !schema.has(attribute.Name) {
			m.report(at, "%s has no %s", name, attribute.Name)
		}
	}
}
