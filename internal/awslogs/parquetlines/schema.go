// Copyright The awsloki Authors
// SPDX-License-Identifier: Apache-2.0

package parquetlines

// physicalType is how values are stored: Type in parquet.thrift.
type physicalType int64

const (
	boolean physicalType = iota
	int32Type
	int64Type
	int96
	float
	double
	byteArray
	fixedLenByteArray
)

// schemaColumn is what the schema says about a column.
type schemaColumn struct {
	name string
	kind physicalType
	// width is how many bytes a value has. Zero: it says so itself, or it is a bit.
	width int
	// optional: there may be nulls.
	optional bool
	// appendJSON appends a value in the bytes that PLAIN has for it.
	appendJSON func(dst, value []byte) []byte
}

func (c schemaColumn) isString() bool { return c.kind == byteArray || c.kind == fixedLenByteArray }

// schemaReader reads the list of SchemaElements that a schema is: one for the row, and one for each column.
type schemaReader struct {
	read []schemaColumn
	// root says whether the first one was read, and children is how many columns that has.
	root     bool
	children int64
}

// The repetition types.
const (
	optional = 1
	repeated = 2
)

// element reads a SchemaElement.
func (s *schemaReader) element(t *thriftReader, elem byte) {
	if elem != thriftStruct {
		t.fail(errThrift)
		return
	}
	var name []byte
	var kind, length, repetition, children int64 = -1, 0, 0, 0
	var meaning logicalType
	converted := int64(noConvertedType)
	t.structure(func(id int16, fieldKind byte) {
		switch id {
		case 1:
			kind = t.integer(fieldKind)
		case 2:
			length = t.integer(fieldKind)
		case 3:
			repetition = t.integer(fieldKind)
		case 4:
			name = t.binary(fieldKind)
		case 5:
			children = t.integer(fieldKind)
		case 6:
			converted = t.integer(fieldKind)
		case 10:
			meaning = readLogicalType(t, fieldKind)
		default:
			t.skip(fieldKind)
		}
	})
	switch {
	case t.err != nil:
	case !s.root:
		s.root, s.children = true, children
	case len(name) > maxNameBytes:
		t.fail(unsupported("a column with a name of more than %d bytes", maxNameBytes))
	case len(s.read) == maxColumns:
		t.fail(unsupported("more than %d columns", maxColumns))
	case children != 0 || repetition == repeated || kind < 0:
		t.fail(unsupported("column %q is a list or a struct", name))
	default:
		if meaning == (logicalType{}) || meaning.id == nullType {
			meaning = convertedType(converted)
		}
		s.add(t, schemaColumn{name: string(name), kind: physicalType(kind), optional: repetition == optional}, length, meaning)
	}
}

func (s *schemaReader) add(t *thriftReader, c schemaColumn, length int64, meaning logicalType) {
	switch c.kind {
	case int32Type, float:
		c.width = 4
	case int64Type, double:
		c.width = 8
	case int96:
		c.width = 12
	case fixedLenByteArray:
		if length <= 0 || !fits(length) {
			t.fail(corrupt("column %q: values of %d bytes", c.name, length))
		}
		c.width = int(length)
	}
	c.appendJSON = valueFormat(c.kind, meaning)
	if c.appendJSON == nil {
		t.fail(unsupported("column %q: values of type %d, logical type %d", c.name, c.kind, meaning.id))
	}
	s.read = append(s.read, c)
}

func (s *schemaReader) columns() ([]schemaColumn, error) {
	if !s.root || len(s.read) == 0 || int64(len(s.read)) != s.children {
		return nil, corrupt("a schema without columns, or with others than it says")
	}
	return s.read, nil
}

// logicalType is what values mean: LogicalType in parquet.thrift. Zero: nothing more than their physical type says.
type logicalType struct {
	id int16
	// unit of a time, unsigned of an integer; zero for all others.
	unit     int16
	unsigned bool
}

// The logical types that are known, and their units.
const (
	stringType    = 1
	enumType      = 4
	dateType      = 6
	timestampType = 8
	integerType   = 10
	nullType      = 11
	jsonType      = 12

	millis = 1
	micros = 2
	nanos  = 3
)

// unknownLogicalType is for converted types that are not known.
const unknownLogicalType = -1

// convertedTypes is what older writers have instead of a logical type.
var convertedTypes = map[int64]logicalType{
	noConvertedType: {},
	0:               {id: stringType},
	4:               {id: enumType},
	6:               {id: dateType},
	9:               {id: timestampType, unit: millis},
	10:              {id: timestampType, unit: micros},
	11:              {id: integerType, unsigned: true},
	12:              {id: integerType, unsigned: true},
	13:              {id: integerType, unsigned: true},
	14:              {id: integerType, unsigned: true},
	15:              {id: integerType},
	16:              {id: integerType},
	17:              {id: integerType},
	18:              {id: integerType},
	19:              {id: jsonType},
}

const noConvertedType = -1

func convertedType(converted int64) logicalType {
	if meaning, ok := convertedTypes[converted]; ok {
		return meaning
	}
	return logicalType{id: unknownLogicalType}
}

// readLogicalType reads a LogicalType, a union.
func readLogicalType(t *thriftReader, kind byte) logicalType {
	if kind != thriftStruct {
		t.fail(errThrift)
		return logicalType{}
	}
	var l logicalType
	t.structure(func(id int16, kind byte) {
		l = logicalType{id: id}
		if kind != thriftStruct || id != timestampType && id != integerType {
			t.skip(kind)
			return
		}
		t.structure(func(field int16, kind byte) {
			switch {
			case id == timestampType && field == 2 && kind == thriftStruct:
				t.structure(func(unit int16, kind byte) {
					l.unit = unit
					t.skip(kind)
				})
			case id == integerType && field == 2:
				l.unsigned = !t.boolean(kind)
			default:
				t.skip(kind)
			}
		})
	})
	return l
}

// jsonKey is what stands before the value of a column, with what ends the one before it.
func jsonKey(name string, first bool) []byte {
	key := []byte{','}
	if first {
		key[0] = '{'
	}
	return append(appendString(key, []byte(name)), ':')
}
