package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"net"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

// load sends requests over a number of connections for a while, one after the
// other on each, and prints how many were answered. It speaks just enough HTTP
// to keep out of the proxy's way on a machine with few cores.
func load(s settings) error {
	request := requestFor(s.target, s.path)
	var (
		group    sync.WaitGroup
		answered atomic.Int64
		failures = make(chan error, s.conns)
		end      = time.Now().Add(s.time)
	)
	for range s.conns {
		group.Go(func() {
			if err := repeat(s.target, request, end, &answered); err != nil {
				failures <- err
			}
		})
	}
	group.Wait()
	close(failures)
	var all []error
	for err := range failures {
		all = append(all, err)
	}
	if err := errors.Join(all...); err != nil {
		return err
	}
	fmt.Println(answered.Load())
	return nil
}

// requestFor is what is sent for a path.
func requestFor(host, path string) []byte {
	return fmt.Appendf(nil, "GET %s HTTP/1.1\r\nHost: %s\r\nUser-Agent: bench\r\nAccept: */*\r\nAccept-Encoding: gzip\r\nX-Esri-Authorization: Bearer %s\r\n\r\n", path, host, callerKey)
}

// repeat sends a request again and again until the end, and then not any more.
func repeat(target string, request []byte, end time.Time, answered *atomic.Int64) error {
	conn, err := net.Dial("tcp", target)
	if err != nil {
		return err
	}
	defer conn.Close()
	if err := conn.SetDeadline(end.Add(30 * time.Second)); err != nil {
		return err
	}
	in := bufio.NewReaderSize(conn, 64<<10)
	for time.Now().Before(end) {
		if _, err := conn.Write(request); err != nil {
			return err
		}
		if err := readAnswer(in, nil); err != nil {
			return err
		}
		answered.Add(1)
	}
	return nil
}

// readAnswer reads one answer to its end. It calls first, if there is one, when
// the first byte of the body has come.
func readAnswer(in *bufio.Reader, first func()) error {
	line, err := in.ReadSlice('\n')
	if err != nil {
		return err
	}
	if !bytes.HasPrefix(line, []byte("HTTP/1.1 200 ")) {
		return fmt.Errorf("the answer is %q", line)
	}
	length, chunked := int64(0), false
	for {
		if line, err = in.ReadSlice('\n'); err != nil {
			return err
		}
		name, value, found := bytes.Cut(bytes.TrimSpace(line), []byte(": "))
		if !found {
			break
		}
		switch string(name) {
		case "Content-Length":
			if length, err = strconv.ParseInt(string(value), 10, 64); err != nil {
				return err
			}
		case "Transfer-Encoding":
			chunked = true
		}
	}
	for {
		if chunked {
			if line, err = in.ReadSlice('\n'); err != nil {
				return err
			}
			if length, err = strconv.ParseInt(string(bytes.TrimSpace(line)), 16, 64); err != nil {
				return err
			}
		}
		if first != nil {
			if _, err := in.Peek(1); err != nil {
				return err
			}
			first()
			first = nil
		}
		last := length == 0 || !chunked
		if chunked {
			length += int64(len("\r\n"))
		}
		if _, err := in.Discard(int(length)); err != nil || last {
			return err
		}
	}
}
