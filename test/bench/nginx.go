package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"syscall"
	"text/template"
	"time"
)

// nginx is an nginx that maps with sub_filter: a master and one worker, in the
// foreground, with a configuration and files of its own in a directory that goes
// when it does.
type nginx struct {
	cmd       *exec.Cmd
	directory string
	address   string
	processes []int         // the master and its worker
	ended     chan struct{} // closed when the master has ended
}

// errNoNginx says that there is none to compare with.
var errNoNginx = errors.New("not measured, there is none here")

// nginxConfig is as one would write it for this: everything as by default but for
// what a proxy needs (connections kept, HTTP/1.1) and the forms of addresses to be
// replaced. By default bodies pass through 4 KB buffers, and large ones through a
// file; with room, through larger ones. sub_filter can't look into gzip, so
// upstream is asked for plain bodies, and nginx compresses them itself.
var nginxConfig = template.Must(template.New("").Parse(`
daemon off;
master_process on;
worker_processes 1;
pid {{.Directory}}/pid;
error_log stderr error;
{{if .Root}}user root;{{end}}
events { worker_connections 1024; }
http {
	access_log off;
	default_type application/octet-stream;
	client_body_temp_path {{.Directory}}/body;
	proxy_temp_path {{.Directory}}/proxy;
	fastcgi_temp_path {{.Directory}}/fastcgi;
	uwsgi_temp_path {{.Directory}}/uwsgi;
	scgi_temp_path {{.Directory}}/scgi;
	keepalive_requests 100000000;
	upstream gis {
		server {{.Upstream}};
		keepalive 512;
		keepalive_requests 100000000;
	}
	server {
		listen {{.Address}};
		proxy_http_version 1.1;
		proxy_set_header Connection "";
		proxy_set_header Host {{.Host}};
		proxy_set_header Accept-Encoding "";
{{if .Room}}		proxy_buffer_size 64k;
		proxy_buffers 16 64k;
		proxy_max_temp_file_size 0;
{{end}}		sub_filter_once off;
		sub_filter_types *;
{{range .Forms}}		sub_filter '{{.Old}}' '{{.New}}';
{{end}}		location / {
			proxy_pass http://gis;
		}
		location {{.Zipped}}/ {
			proxy_pass http://gis/;
			gzip on;
			gzip_types *;
			gzip_comp_level {{.Level}};
		}
	}
}
`))

// zippedAt is where this nginx compresses what it answers.
const zippedAt = "/zipped"

// startNginx starts an nginx before an upstream, with room for bodies or as by
// default; [errNoNginx] if there is none.
func startNginx(ctx context.Context, s settings, upstream string, room bool) (*nginx, error) {
	if s.nginx == "" || runtime.GOOS != "linux" { // elsewhere its use of the processor can't be told
		return nil, errNoNginx
	}
	program, err := exec.LookPath(s.nginx)
	if err != nil && s.nginx == filepath.Base(s.nginx) {
		program, err = exec.LookPath("/usr/sbin/" + s.nginx) // which is not on everybody's path
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errNoNginx, err)
	}
	n := &nginx{}
	if n.address, err = freeAddress(ctx); err != nil {
		return nil, err
	}
	if n.directory, err = os.MkdirTemp("", "bench-nginx-"); err != nil {
		return nil, err
	}
	if err := n.start(ctx, program, upstream, room); err != nil {
		n.stop()
		return nil, fmt.Errorf("nginx: %w", err)
	}
	return n, nil
}

func (n *nginx) start(ctx context.Context, program, upstream string, room bool) error {
	var config bytes.Buffer
	err := nginxConfig.Execute(&config, map[string]any{
		"Directory": n.directory, "Address": n.address, "Upstream": upstream, "Host": upstreamHost,
		"Forms": forms(), "Zipped": zippedAt, "Level": level, "Room": room, "Root": os.Getuid() == 0,
	})
	if err != nil {
		return err
	}
	path := filepath.Join(n.directory, "nginx.conf")
	if err := os.WriteFile(path, config.Bytes(), 0o600); err != nil {
		return err
	}
	n.cmd = exec.CommandContext(ctx, program, "-p", n.directory, "-e", "stderr", "-c", path)
	n.cmd.Cancel = func() error { return n.cmd.Process.Signal(syscall.SIGTERM) } // so that it ends its worker
	n.cmd.WaitDelay = 10 * time.Second
	n.cmd.Stderr = os.Stderr
	if err := held(true, n.cmd.Start); err != nil {
		return err
	}
	n.ended = make(chan struct{})
	go func() {
		_ = n.cmd.Wait() // what was wrong has been printed
		close(n.ended)
	}()
	return n.await(ctx)
}

// await waits until nginx serves.
func (n *nginx) await(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	again := time.NewTicker(10 * time.Millisecond)
	defer again.Stop()
	var d net.Dialer
	for {
		workers := childrenOf(n.cmd.Process.Pid)
		if conn, err := d.DialContext(ctx, "tcp", n.address); err == nil && len(workers) == 1 {
			n.processes = append(workers, n.cmd.Process.Pid)
			return conn.Close()
		}
		select {
		case <-again.C:
		case <-n.ended:
			return errors.New("it ended at once")
		case <-ctx.Done():
			return fmt.Errorf("it does not listen: %w", ctx.Err())
		}
	}
}

func (n *nginx) stop() {
	if n.ended != nil {
		_ = n.cmd.Process.Signal(syscall.SIGTERM) // an error means that it has ended
		<-n.ended
	}
	_ = os.RemoveAll(n.directory) // what is left is the system's to clean up
}

func (n *nginx) at() string { return n.address }

// usage adds up the time of the master, which does next to nothing, and of the
// worker. Memory is the worker's: it shares what it can with the master.
func (n *nginx) usage(context.Context) (u usage, err error) {
	for _, pid := range n.processes {
		spent, err := timeOf(pid)
		if err != nil {
			return u, err
		}
		u.Micros += float64(spent.Nanoseconds()) / 1e3
	}
	u.Resident, u.Peak = resident(n.processes[0])
	return u, nil
}

// freeAddress returns a loopback address that nobody listens on at the moment.
func freeAddress(ctx context.Context) (string, error) {
	var config net.ListenConfig
	l, err := config.Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer l.Close()
	return l.Addr().String(), nil
}
