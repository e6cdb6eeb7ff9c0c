package backup

import (
	"archive/tar"
	"bufio"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"path"
)

// Store is something on hosts that is backed up as one content.
type Store struct {
	// Name is that of the content.
	Name string
	// Host is the host that has it or, when that is empty, Cluster the cluster (of
	// package status) one of whose members has it.
	Host, Cluster string
	// Large says that it is left out unless it was asked for.
	Large bool
	// Save is shell text of root's that prints the content, on a member that serves.
	Save func(host string) string
	// Load is shell text of root's that puts in what it reads in place of what is
	// there; at the leader, where a cluster has one. nil for what is not put back.
	Load func(host string) string
}

// Check reads a content and says what it lacks. What a content is, its name tells.
func Check(name string, r io.Reader) error {
	switch path.Ext(name) {
	case ".gz":
		return checkDump(r)
	case ".db":
		return checkOVSDB(r)
	case ".tar":
		return checkTar(r)
	}
	return nil
}

// checkDump looks for the line with which mariadb-dump ends a whole dump, in a
// compressed one.
func checkDump(r io.Reader) error {
	zip, err := gzip.NewReader(r)
	if err != nil {
		return fmt.Errorf("it is not compressed: %w", err)
	}
	lines := bufio.NewReaderSize(zip, 1<<20)
	whole := false
	for {
		line, err := lines.ReadSlice('\n')
		if len(bytes.TrimSpace(line)) > 0 {
			whole = bytes.HasPrefix(line, []byte("-- Dump completed"))
		}
		switch {
		case errors.Is(err, bufio.ErrBufferFull): // a long line, which is data
		case errors.Is(err, io.EOF) && whole:
			return nil
		case errors.Is(err, io.EOF):
			return errors.New("the dump has no end")
		case err != nil:
			return err
		}
	}
}

// checkOVSDB looks at the head of a database file as ovsdb-client writes it.
//
// Source: ovsdb(5), "File Format".
func checkOVSDB(r io.Reader) error {
	const magic = "OVSDB JSON "
	head := make([]byte, len(magic))
	if _, err := io.ReadFull(r, head); err != nil || string(head) != magic {
		return errors.New("it is no database of OVSDB")
	}
	return nil
}

// checkTar reads an archive to its end.
func checkTar(r io.Reader) error {
	in := tar.NewReader(r)
	for {
		if _, err := in.Next(); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		if _, err := io.Copy(io.Discard, in); err != nil {
			return err
		}
	}
}
