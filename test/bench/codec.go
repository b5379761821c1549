package main

import (
	"bytes"
	"io"
	"net/http"
	"strconv"
	"sync"

	"github.com/klauspost/compress/gzip"
)

// level is the one that mapping compresses with; see proxy/mapping.
const level = gzip.BestSpeed

// codec decompresses and compresses, which is the least that looking into a
// compressed body takes.
type codec struct {
	in     gzip.Reader
	out    *gzip.Writer
	buffer []byte
}

func newCodec() *codec {
	out, err := gzip.NewWriterLevel(nil, level)
	if err != nil {
		panic(err) // the level is right
	}
	return &codec{out: out, buffer: make([]byte, 32<<10)}
}

// again decompresses a body and compresses it to where out has been reset to.
func (c *codec) again(body io.Reader) error {
	if err := c.in.Reset(body); err != nil {
		return err
	}
	if err := through(c.out, &c.in, c.buffer); err != nil {
		return err
	}
	return c.out.Close()
}

// through copies as a proxy does: by Read and Write, with one buffer.
func through(to io.Writer, from io.Reader, buffer []byte) error {
	_, err := io.CopyBuffer(struct{ io.Writer }{to}, struct{ io.Reader }{from}, buffer)
	return err
}

// codecs does that to answers on their way through a proxy.
type codecs struct{ idle sync.Pool } // of *zipped

// zipped is a body that has been compressed again.
type zipped struct {
	codec *codec
	bytes bytes.Buffer
	idle  *sync.Pool
	src   io.Closer
}

// Read implements [io.Reader].
func (z *zipped) Read(p []byte) (int, error) { return z.bytes.Read(p) }

// Close implements [io.Closer].
func (z *zipped) Close() error {
	if z.src == nil {
		return nil
	}
	src := z.src
	z.src = nil
	z.idle.Put(z)
	return src.Close()
}

func (c *codecs) again(res *http.Response) error {
	if res.Header.Get("Content-Encoding") != "gzip" {
		return nil
	}
	z, _ := c.idle.Get().(*zipped)
	if z == nil {
		z = &zipped{codec: newCodec(), idle: &c.idle}
	}
	z.src = res.Body
	z.bytes.Reset()
	z.codec.out.Reset(&z.bytes)
	if err := z.codec.again(res.Body); err != nil {
		return err
	}
	res.Body = z
	res.ContentLength = int64(z.bytes.Len())
	res.Header.Set("Content-Length", strconv.Itoa(z.bytes.Len()))
	return nil
}
