// Copyright The awsloki Authors
// SPDX-License-Identifier: Apache-2.0

// Lambdazip packs a Lambda's bootstrap into the zip that Lambda takes. The same binary gives the same zip.
//
//	lambdazip function.zip path/to/bootstrap
package main

import (
	"archive/zip"
	"compress/flate"
	"errors"
	"fmt"
	"io"
	"os"
)

func main() {
	if len(os.Args) != 3 {
		fmt.Fprintln(os.Stderr, "usage: lambdazip function.zip path/to/bootstrap")
		os.Exit(2)
	}
	if err := pack(os.Args[1], os.Args[2]); err != nil {
		fmt.Fprintln(os.Stderr, "lambdazip:", err)
		os.Exit(1)
	}
}

func pack(target, bootstrap string) (err error) {
	in, err := os.Open(bootstrap) //nolint:gosec // whoever runs it says which file
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.Create(target) //nolint:gosec // whoever runs it says which file
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, out.Close()) }()

	zw := zip.NewWriter(out)
	zw.RegisterCompressor(zip.Deflate, func(w io.Writer) (io.WriteCloser, error) {
		return flate.NewWriter(w, flate.BestCompression)
	})
	header := &zip.FileHeader{Name: "bootstrap", Method: zip.Deflate}
	header.SetMode(0o755)
	file, err := zw.CreateHeader(header)
	if err != nil {
		return err
	}
	if _, err := io.Copy(file, in); err != nil {
		return err
	}
	return zw.Close()
}
