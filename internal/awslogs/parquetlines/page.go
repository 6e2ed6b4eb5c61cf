// Copyright The awsloki Authors
// SPDX-License-Identifier: Apache-2.0

package parquetlines

import (
	"bytes"
	"errors"
	"hash/crc32"
	"io"

	"github.com/golang/snappy"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

// Pages stand one after another in a column chunk, the dictionary first.
// https://github.com/apache/parquet-format/blob/master/README.md#data-pages

const (
	dataPage       = 0
	dictionaryPage = 2
	dataPageV2     = 3
)

const (
	uncompressed = 0
	snappyCodec  = 1
	gzipCodec    = 2
	zstdCodec    = 6
)

const (
	plain           = 0
	plainDictionary = 2
	rle             = 3
	rleDictionary   = 8
)

// pageHeader is a PageHeader with what there is of the header of its kind.
type pageHeader struct {
	kind int64
	// uncompressed and compressed are in bytes, the header left out.
	uncompressed, compressed int64
	// crc is that of the compressed bytes. Zero: the writer has none.
	crc uint32
	// values is how many there are, with nulls.
	values, encoding int64
	// levels is the encoding of the definition levels of a data page.
	levels int64
	// levelBytes and repetitionBytes are how long the levels of a data page of version 2 are, which are not compressed.
	levelBytes, repetitionBytes int64
	// stored: the rest of a data page of version 2 is not compressed either.
	stored bool
}

// readPageHeader reads the PageHeader that t begins with.
func readPageHeader(t *thriftReader) pageHeader {
	h := pageHeader{kind: -1, uncompressed: -1, compressed: -1, values: -1, encoding: -1, levels: rle}
	t.structure(func(id int16, kind byte) {
		switch {
		case id == 1:
			h.kind = t.integer(kind)
		case id == 2:
			h.uncompressed = t.integer(kind)
		case id == 3:
			h.compressed = t.integer(kind)
		case id == 4:
			h.crc = uint32(t.integer(kind))
		case (id == 5 || id == 7) && kind == thriftStruct:
			h.readData(t)
		case id == 8 && kind == thriftStruct:
			h.readDataV2(t)
		default:
			t.skip(kind)
		}
	})
	return h
}

// readData reads a DataPageHeader, or a DictionaryPageHeader.
func (h *pageHeader) readData(t *thriftReader) {
	t.structure(func(id int16, kind byte) {
		switch {
		case id == 1:
			h.values = t.integer(kind)
		case id == 2:
			h.encoding = t.integer(kind)
		case id == 3 && kind != thriftTrue && kind != thriftFalse: // which is whether a dictionary is sorted
			h.levels = t.integer(kind)
		default:
			t.skip(kind)
		}
	})
}

// readDataV2 reads a DataPageHeaderV2.
func (h *pageHeader) readDataV2(t *thriftReader) {
	t.structure(func(id int16, kind byte) {
		switch id {
		case 1:
			h.values = t.integer(kind)
		case 4:
			h.encoding = t.integer(kind)
		case 5:
			h.levelBytes = t.integer(kind)
		case 6:
			h.repetitionBytes = t.integer(kind)
		case 7:
			h.stored = !t.boolean(kind)
		default:
			t.skip(kind)
		}
	})
}

// column is a column of the row group that is being read. Its buffers serve one page after another.
type column struct {
	schemaColumn
	key []byte
	chunk
	dictionary dictionary
	page       []byte
	// left is how many values the page has yet, with nulls.
	left int64
	// levels says for each value of an optional column whether it is there.
	levels runs
	// present is those that are.
	present values
}

// corrupt names the column.
func (c *column) corrupt(what string) error { return corrupt("column %q: %s", c.name, what) }

// nextPage goes to the next data page that has values, and reads the dictionary on the way.
func (r *Reader) nextPage(c *column) error {
	for {
		h, err := r.pageHeader(c)
		if err != nil {
			return err
		}
		at := c.offset
		c.offset += h.compressed
		c.size -= h.compressed
		switch {
		case h.kind == dictionaryPage:
			err = r.readDictionary(c, h, at)
		case (h.kind == dataPage || h.kind == dataPageV2) && h.values > 0:
			return r.readDataPage(c, h, at)
		}
		if err != nil {
			return err
		}
	}
}

const (
	// firstHeaderBytes is more than most page headers have, and maxHeaderBytes more than any should: it may state the
	// least and the greatest value of the page.
	firstHeaderBytes = 256
	maxHeaderBytes   = 1 << 20
)

// pageHeader reads the header of the next page of the chunk, and goes to what is behind it.
func (r *Reader) pageHeader(c *column) (pageHeader, error) {
	for n := min(int64(firstHeaderBytes), c.size); ; n = min(8*n, c.size) {
		if n == 0 {
			return pageHeader{}, c.corrupt("fewer values than the row group has rows")
		}
		if n > maxHeaderBytes {
			return pageHeader{}, tooLarge("column %q: the header of a page has more than %d bytes", c.name, maxHeaderBytes)
		}
		if err := r.read(&r.header, c.offset, n); err != nil {
			return pageHeader{}, err
		}
		t := thriftReader{data: r.header}
		h := readPageHeader(&t)
		if errors.Is(t.err, errThriftShort) && n < c.size {
			continue
		}
		if t.err != nil {
			return pageHeader{}, c.corrupt("the header of a page: " + t.err.Error())
		}
		headerLen := n - int64(len(t.data))
		c.offset += headerLen
		c.size -= headerLen
		return h, r.checkPage(c, h)
	}
}

// checkPage compares what the header of a page states with what may be, before any memory is there for it.
func (r *Reader) checkPage(c *column, h pageHeader) error {
	switch {
	case !fits(h.uncompressed) || !fits(h.compressed) || h.compressed > c.size:
		return c.corrupt("a page that is not in the file")
	case h.kind != dataPage && h.kind != dictionaryPage && h.kind != dataPageV2:
		return nil // it is passed over
	case !fits(h.values):
		return c.corrupt("a page that does not say how many values it has")
	case h.uncompressed > r.opts.MaxPageBytes || h.compressed > r.opts.MaxPageBytes:
		return tooLarge("column %q: a page has more than %d bytes", c.name, r.opts.MaxPageBytes)
	case h.kind != dictionaryPage && h.values > c.values:
		return c.corrupt("more values than the row group has rows")
	}
	return nil
}

// buffer has b be n bytes long. What was in it is gone.
func (r *Reader) buffer(b *[]byte, n int64) error {
	if have := int64(cap(*b)); have < n {
		size := max(n, min(2*have, r.opts.MaxPageBytes))
		*b = nil
		if err := r.reserve(size - have); err != nil {
			return err
		}
		*b = make([]byte, size)
	}
	*b = (*b)[:n]
	return nil
}

// read reads n bytes of the file into b.
func (r *Reader) read(b *[]byte, offset, n int64) error {
	if err := r.buffer(b, n); err != nil {
		return err
	}
	return readFull(r.file, *b, offset)
}

// body reads what is behind the header of a page into b. The first stored bytes are not compressed.
func (r *Reader) body(b *[]byte, c *column, h pageHeader, at, stored int64) error {
	codec := c.codec
	if h.stored {
		codec = uncompressed
	}
	src := &r.compressed
	if codec == uncompressed {
		src = b
	}
	if err := r.read(src, at, h.compressed); err != nil {
		return err
	}
	if h.crc != 0 && h.crc != crc32.ChecksumIEEE(*src) {
		return c.corrupt("a page that has another checksum than its header says")
	}
	if codec == uncompressed {
		if h.compressed != h.uncompressed {
			return c.corrupt("a page that has other bytes than its header says")
		}
		return nil
	}
	packed, size := r.compressed[stored:], h.uncompressed-stored
	if most, ok := maxRatio[codec]; !ok {
		return unsupported("column %q: pages of codec %d", c.name, codec)
	} else if size > most*int64(len(packed)) {
		return c.corrupt("a page that states more bytes than it can hold")
	}
	if err := r.buffer(b, h.uncompressed); err != nil {
		return err
	}
	copy(*b, r.compressed[:stored])
	if size == 0 {
		return nil // there may be nothing at all, not even an empty stream
	}
	if err := r.makeDecoder(codec); err != nil {
		return err
	}
	if err := r.decompress((*b)[stored:], packed, codec); err != nil {
		return corrupt("column %q: a page: %w", c.name, err)
	}
	return nil
}

// maxRatio is more than each byte of a compressed page can become, and what codecs there are. Three bytes of snappy's
// copy 64, one of deflate's 1032 at most, and a block of zstd's has four bytes and repeats one of them up to 128 KiB long.
var maxRatio = map[int64]int64{snappyCodec: 64, gzipCodec: 1032, zstdCodec: 32 << 10}

var errPageSize = errors.New("it decodes to another size than its header says")

// decompress fills dst with what src holds: exactly that.
func (r *Reader) decompress(dst, src []byte, codec int64) error {
	switch codec {
	case snappyCodec:
		if n, err := snappy.DecodedLen(src); err != nil || n != len(dst) {
			return errors.Join(errPageSize, err)
		}
		_, err := snappy.Decode(dst, src)
		return err
	case gzipCodec:
		return r.gunzip(dst, src)
	default:
		return r.unzstd(dst, src)
	}
}

// decoderBytes is about what a decoder of gzip or zstd takes.
const decoderBytes = 256 << 10

// makeDecoder makes what a codec needs, once.
func (r *Reader) makeDecoder(codec int64) (err error) {
	if codec == snappyCodec || codec == gzipCodec && r.gzip != nil || codec == zstdCodec && r.zstd != nil {
		return nil
	}
	if err := r.reserve(decoderBytes); err != nil {
		return err
	}
	if codec == gzipCodec {
		r.gzip = new(gzip.Reader)
		return nil
	}
	r.zstd, err = zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecodeAllCapLimit(true))
	return err
}

func (r *Reader) gunzip(dst, src []byte) error {
	if err := r.gzip.Reset(bytes.NewReader(src)); err != nil {
		return noEOF(err)
	}
	if _, err := io.ReadFull(r.gzip, dst); err != nil {
		return noEOF(err)
	}
	var more [1]byte
	switch n, err := io.ReadFull(r.gzip, more[:]); {
	case n > 0:
		return errPageSize
	case err != io.EOF:
		return err
	}
	return nil
}

// noEOF keeps the end of a page that is cut short from being taken for the end of the file.
func noEOF(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

func (r *Reader) unzstd(dst, src []byte) error {
	out, err := r.zstd.DecodeAll(src, dst[:0:len(dst)])
	if err != nil {
		return noEOF(err)
	}
	if len(out) != len(dst) {
		return errPageSize
	}
	return nil
}

// readDictionary reads the dictionary of a chunk, at the place at.
func (r *Reader) readDictionary(c *column, h pageHeader, at int64) error {
	d := &c.dictionary
	switch {
	case d.n > 0 || c.kind == boolean:
		return c.corrupt("a dictionary where there can be none")
	case h.encoding != plain && h.encoding != plainDictionary:
		return unsupported("column %q: a dictionary of encoding %d", c.name, h.encoding)
	}
	if err := r.body(&d.page, c, h, at, 0); err != nil {
		return err
	}
	valueBytes := c.width
	if valueBytes == 0 {
		valueBytes = 4 // its length
	}
	if h.values*int64(valueBytes) > int64(len(d.page)) {
		return c.corrupt("a dictionary that states more values than it can hold")
	}
	d.width, d.n = c.width, int(h.values)
	if d.width > 0 {
		return nil
	}
	return r.indexDictionary(c)
}

// indexDictionary finds where the values of a dictionary begin that say themselves how long they are.
func (r *Reader) indexDictionary(c *column) error {
	d := &c.dictionary
	if have := cap(d.offsets); have < d.n {
		d.offsets = nil
		if err := r.reserve(4 * int64(d.n-have)); err != nil {
			return err
		}
		d.offsets = make([]uint32, d.n)
	}
	d.offsets = d.offsets[:d.n]
	rest := byteArrays{d.page}
	for i := range d.offsets {
		d.offsets[i] = uint32(len(d.page) - len(rest.data))
		if _, ok := rest.next(); !ok {
			return c.corrupt("a dictionary that lacks values")
		}
	}
	return nil
}

// readDataPage reads the data page at the place at.
func (r *Reader) readDataPage(c *column, h pageHeader, at int64) error {
	var stored int64
	if h.kind == dataPageV2 {
		stored = h.repetitionBytes + h.levelBytes
		if !fits(h.repetitionBytes) || !fits(h.levelBytes) || stored > h.compressed || stored > h.uncompressed {
			return c.corrupt("a page with levels that are not in it")
		}
	}
	if err := r.body(&c.page, c, h, at, stored); err != nil {
		return err
	}
	data := c.page
	switch {
	case h.kind == dataPageV2:
		c.levels = runs{data: data[h.repetitionBytes:stored], width: 1} // nothing is repeated in a column that is no list
		data = data[stored:]
	case c.optional:
		if h.levels != rle {
			return unsupported("column %q: levels of encoding %d", c.name, h.levels)
		}
		levels, ok := prefixed(data)
		if !ok {
			return c.corrupt("a page with levels that are not in it")
		}
		c.levels = runs{data: levels, width: 1}
		data = data[4+len(levels):]
	}
	c.left = h.values
	c.values -= h.values
	return c.setValues(h.encoding, data)
}

// prefixed returns what stands behind its length.
func prefixed(data []byte) ([]byte, bool) {
	v := byteArrays{data}
	return v.next()
}

// setValues begins with the values of a page.
func (c *column) setValues(encoding int64, data []byte) error {
	switch {
	case encoding == plainDictionary || encoding == rleDictionary:
		return c.setEntries(data)
	case encoding == plain && c.kind == boolean:
		c.present = &booleans{packedRun(data, 1)}
	case encoding == plain && c.width > 0:
		c.present = &fixedValues{data, c.width}
	case encoding == plain:
		c.present = &byteArrays{data}
	case encoding == rle && c.kind == boolean:
		data, ok := prefixed(data)
		if !ok {
			return c.corrupt("a page that lacks values")
		}
		c.present = &booleans{runs{data: data, width: 1}}
	default:
		return unsupported("column %q: values of encoding %d", c.name, encoding)
	}
	return nil
}

func (c *column) setEntries(data []byte) error {
	var width byte
	if len(data) > 0 { // a page of nulls may have nothing
		width, data = data[0], data[1:]
	}
	if width > maxBitWidth {
		return c.corrupt("indices of more than 32 bits")
	}
	c.present = &entries{runs{data: data, width: uint(width)}, &c.dictionary}
	return nil
}
